"""Memories inside of a model that are carried along a sequence: contract, base, probe (extra `torch`)."""
