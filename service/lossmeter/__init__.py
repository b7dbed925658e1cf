"""lossmeter: losses, gradients and evaluation metrics as a service."""

__version__ = "0.1.0"
