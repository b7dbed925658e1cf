"""Bytes ⇄ tensors: a module for each format. Nothing here knows torch."""
