"""Packages of others that warn while they are imported are imported here once, with just those warnings set aside."""

from __future__ import annotations

import importlib
import importlib.util
import warnings

if importlib.util.find_spec("langmem") is not None:
    with warnings.catch_warnings():
        # langmem imports `Send` from where LangGraph had it before 1.0.
        warnings.filterwarnings("ignore", message="Importing Send from langgraph.constants is deprecated")
        importlib.import_module("langmem")
