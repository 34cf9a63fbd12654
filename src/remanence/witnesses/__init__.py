"""Witnesses: for each mechanism the smallest honest experiment in which its claim's direction shows.

`witness(seed) -> Evidence`, a module per mechanism, named like the mechanism's; `catalog.witness(slug)` finds it.
"""
