"""The outside world behind ports: places that keep records and vectors, and models that make vectors."""
