"""Bytes ⇄ tensors: one file per format. No torch in here."""
