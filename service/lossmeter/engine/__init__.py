"""Check → call → reduce → differentiate: the only caller of autograd, the only one that chooses a device."""

from lossmeter.engine.compute import Call, Engine, Outcome, Warned

__all__ = ["Call", "Engine", "Outcome", "Warned"]
