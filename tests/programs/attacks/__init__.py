"""Attacks that are really tried: `python -m tests.programs.attacks` writes what came of them into docs/security.md."""
