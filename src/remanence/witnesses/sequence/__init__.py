"""Witnesses of sequence mechanisms: pairs and streams that are written into a memory, whose answers are known."""
