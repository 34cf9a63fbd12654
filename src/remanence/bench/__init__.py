"""Benchmarks: data sets that users fetch themselves, measures, baselines, results and the tables made from them."""

from __future__ import annotations
