"""The routes of `/api/v1`."""

from __future__ import annotations
