"""What is worked out from the turns, after they were stored: one module per handler, found by itself.

A module of this package that has an attribute `HANDLER` takes part in every "enrich" job; one with an attribute `LATER`
has jobs of its own. Both are imported by whoever works on jobs, and by nobody else.
"""
