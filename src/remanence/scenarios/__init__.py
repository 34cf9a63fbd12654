"""Seeded generators of small worlds with exactly known answers, shared by witnesses, tests and benchmarks."""
