"""Attacks that are really tried: `python -m tests.attacks` writes what came of them into docs/security.md."""
