"""All that shows whether the service works on a GPU: `tests/gpu/run.sh`, on a machine that has one. docs/gpu.md says how."""
