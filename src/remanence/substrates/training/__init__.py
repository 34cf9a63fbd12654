"""Memories of gradients: optimizers whose state is what they remember of the training so far (extra `torch`)."""
