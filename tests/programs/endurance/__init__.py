"""Long runs and faults under load: `make soak` and `make chaos`. Both write their figures into docs/operations.md."""
