"""Training and comparing sequence mechanisms: `python -m remanence.bench.sequence --help` (extra `torch`)."""
