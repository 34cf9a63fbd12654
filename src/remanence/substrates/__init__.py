"""What a memory is made of, one contract per substrate: `records` is plaintext, `embedding` the port for vectors."""
