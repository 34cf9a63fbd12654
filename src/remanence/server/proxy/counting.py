"""What the proxy counts, in Prometheus' form, beside what the server counts of all requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from remanence.server.proxy.remembering import Stored
from remanence.server.proxy.upstream import BadUpstream, SlowUpstream

__all__ = ["ABORTED", "OUTCOMES", "Counters"]

OUTCOMES: Final = (
    "answered", "streamed", "aborted", "upstream_error", "upstream_failed", "refused", "left", "failed",
)  # fmt: skip
"""How a request for a chat completion may end: with a whole answer, with a whole stream, with a stream that broke off,
with an error of the upstream's, with no answer of the upstream's, refused by the proxy, left by its caller before there
was an answer, or by an error of our own.
"""
ABORTED: Final = ("client", "upstream")
"""Who may break off a stream."""
_STATES: Final = ("stored", "repeated", "failed", "pending")
_REASONS: Final = ("recall-timeout", "recall-failed", "recall-partial")
_KINDS: Final = ("4xx", "5xx", "timeout", "connection")


class Counters:
    """Counters of one proxy. `registry`: where they are shown; one that nobody shows if left out."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = CollectorRegistry() if registry is None else registry

        def counter(name: str, text: str, label: str, values: Iterable[str]) -> Counter:
            made = Counter(f"remanence_proxy_{name}", text, (label,), registry=registry)
            # What has not happened yet is 0, and not missing: rates and alerts need that.
            for value in values:
                made.labels(value)
            return made

        self._requests = counter("requests", "Chat completions by how they ended.", "outcome", OUTCOMES)
        self._upstream = counter("upstream_errors", "Answers of the upstream that were none.", "kind", _KINDS)
        self._aborted = counter("streams_aborted", "Streams that ended in the middle.", "by", ABORTED)
        self._turns = counter("turns", "Turns by what became of them.", "state", _STATES)
        self._degraded = counter("recalls_degraded", "Recalls that failed or worked in part.", "reason", _REASONS)
        self._recalled = Counter("remanence_proxy_memories_recalled", "Memories put into prompts.", registry=registry)
        self._messages = Counter(
            "remanence_proxy_messages_stored", "Messages stored from conversations.", registry=registry
        )

    def ended(self, outcome: str) -> None:
        """A request came to one of `OUTCOMES`."""
        self._requests.labels(outcome).inc()

    def broke_off(self, by: str) -> None:
        """A stream was broken off by one of `ABORTED`."""
        self._aborted.labels(by).inc()
        self.ended("aborted")

    def answered_error(self, status: int) -> None:
        """The upstream answered with an error."""
        self._upstream.labels(f"{status // 100}xx" if status >= 400 else "connection").inc()
        self.ended("upstream_error")

    def raised(self, error: Exception) -> None:
        """A request ended with an error that the proxy tells its caller."""
        if isinstance(error, BadUpstream | SlowUpstream):
            self._upstream.labels("timeout" if isinstance(error, SlowUpstream) else "connection").inc()
            self.ended("upstream_failed")
        else:
            self.ended("refused")

    def recalled(self, memories: int) -> None:
        """So many memories went into a prompt."""
        self._recalled.inc(memories)

    def degraded(self, reason: str) -> None:
        """Memories could not be recalled, or not all."""
        self._degraded.labels(reason).inc()

    def stored(self, stored: Stored) -> None:
        """What became of a turn; one that was stored before is repeated."""
        state = "repeated" if stored.state == "stored" and not stored.ids else stored.state
        self._turns.labels(state).inc()
        self._messages.inc(len(stored.ids))
