"""Check → call → reduce → differentiate: the only caller of autograd, the only one that chooses a device."""

from lossmeter.engine.calls import Call, Outcome, Warned
from lossmeter.engine.compute import Engine
from lossmeter.engine.express import Express
from lossmeter.engine.outcomes import outcome
from lossmeter.engine.work import PassResult, Work

__all__ = ["Call", "Engine", "Express", "Outcome", "PassResult", "Warned", "Work", "outcome"]
