"""Chooses losses by what is predicted, by what is known of the data, and by words."""

from __future__ import annotations

from lossmeter.catalogue.choosing import Chooser
from lossmeter.losses.catalogue import LOSSES
from lossmeter.losses.situations import SITUATIONS, TASKS

choose = Chooser(LOSSES, TASKS, SITUATIONS).choose
