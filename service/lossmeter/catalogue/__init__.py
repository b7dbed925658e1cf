"""What the catalogues of losses and of metrics have in common: a registry, and the reading of declaring functions."""

from lossmeter.catalogue.entries import Entry, Parameter, Prose
from lossmeter.catalogue.registry import Catalogue
from lossmeter.catalogue.signatures import Argument, Declaration, annotated, read

__all__ = ["Argument", "Catalogue", "Declaration", "Entry", "Parameter", "Prose", "annotated", "read"]
