"""Programs: forward and backward of a loss, recorded once from autograd and replayed without it."""

from lossmeter.engine.programs.cache import Kind, Programs
from lossmeter.engine.programs.program import Program
from lossmeter.engine.programs.recording import Unrecordable

__all__ = ["Kind", "Program", "Programs", "Unrecordable"]
