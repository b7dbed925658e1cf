"""Advice: warnings about requests that are valid, and most likely not what was meant.

What cannot be wrong costs next to nothing: each look begins with a few single elements, and goes on only if all of them are
suspicious. It then looks at a sample of at most `LOOKED` elements. No advice changes a result.
"""

from lossmeter.engine.advice.codes import CODES
from lossmeter.engine.advice.glance import Glance
from lossmeter.engine.advice.looks import of_inputs
from lossmeter.engine.advice.results import of_results

__all__ = ["CODES", "Glance", "of_inputs", "of_results"]
