"""The record store for many machines: a schema of a PostgreSQL database."""

from __future__ import annotations

from remanence.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
