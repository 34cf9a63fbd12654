"""Witnesses of record mechanisms: they remember generated conversations, whose answers are known exactly."""
