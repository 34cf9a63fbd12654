"""The console: pages for people, served at `/`, that use the published API and nothing else.

The pages are plain files beside this module: HTML, CSS and ES modules, without a build. What they need beyond the rest
of `/api/v1` stands under `/api/v1/console`.
"""

from __future__ import annotations

from remanence.server.console.pages import mount

__all__ = ["mount"]
