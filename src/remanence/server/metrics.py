"""What the server counts, in Prometheus' form. Nothing is sent anywhere; somebody has to ask for it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    """Counters of one application, in a registry of their own. Labels are templates of routes, never ids."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "remanence_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "remanence_request_seconds",
            "Time from the first byte to the last.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._running = Gauge("remanence_requests_in_progress", "Requests being worked on.", registry=self._registry)
        self._refused = Counter(
            "remanence_requests_refused", "Requests that went no further.", ("reason",), registry=self._registry
        )

    @property
    def registry(self) -> CollectorRegistry:
        """Where parts of the application add counters of their own."""
        return self._registry

    def began(self) -> None:
        """A request came in."""
        self._running.inc()

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._running.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, reason: str) -> None:
        """A request was refused before it reached a route, or for want of room."""
        self._refused.labels(reason).inc()

    def text(self) -> bytes:
        """All of it, as `/metrics` shows it."""
        return generate_latest(self._registry)
