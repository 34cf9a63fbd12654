"""A proxy in front of any service that speaks OpenAI's chat protocol: it recalls, forwards, and stores what was said.

Nothing heavy is loaded with this package; `remanence.server.proxy.routes` holds the routes.
"""

from __future__ import annotations
