"""Bulk work in chunks that survive whoever works on them: importing, embedding anew, rebuilding.

The same code runs in this process (`spread.Here`) and over a Ray cluster (`on_ray.RaySpread`); see `work.Bulk`.
"""
