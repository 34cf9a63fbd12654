"""Studies of single parts, each runnable as a module."""
