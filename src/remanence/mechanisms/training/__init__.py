"""Optimizers that are memories of the gradients they have seen (extra `torch`)."""
