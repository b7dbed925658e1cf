"""The catalogue behind losses and metrics: a registry, and the reading of functions that declare entries."""

from lossmeter.catalogue.entries import Description, Entry, Parameter, Prose
from lossmeter.catalogue.registry import Catalogue
from lossmeter.catalogue.signatures import Argument, Declaration, annotated, read

__all__ = ["Argument", "Catalogue", "Declaration", "Description", "Entry", "Parameter", "Prose", "annotated", "read"]
