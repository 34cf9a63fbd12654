"""Every error that Remanence raises on purpose.

    RemanenceError
    ├── InvalidInput (also ValueError)      the caller passed something that cannot be used
    │   ├── ScopeRequired                   no user_id, agent_id, run_id or app_id was given
    │   ├── InvalidTime                     a date that cannot be read or represented
    │   └── InvalidFilter                   an unknown operator or a malformed filter
    ├── NotFound (also KeyError)            no such record in this scope
    ├── Conflict                            the record changed since it was read (optimistic versions)
    ├── StoreError                          the place where memories are kept
    │   ├── StoreBusy                       another process held the write lock for longer than the timeout
    │   ├── StoreReadOnly                   the file or its folder cannot be written
    │   ├── StoreFull                       the disk is full; nothing of the failed batch was kept
    │   ├── StoreCorrupt                    the file is damaged or is no Remanence store
    │   ├── StoreVersionError               the file was written by a newer Remanence
    │   ├── StoreUncertain                  the connection was lost during a commit: kept whole or not at all
    │   └── StoreClosed                     used after close()
    ├── EmbeddingError                      an embedder failed or returned something unusable
    │   └── EmbeddingSpaceMismatch          the store holds vectors of another model or dimension
    ├── LLMError                            a language model was asked and did not serve
    │   ├── LLMUnavailable                  not reached, too slow, overloaded or out of quota: ask again later
    │   ├── LLMRejected                     the service refuses the request as it is: key, model or content
    │   ├── LLMMalformed                    the answer is unusable, also after it was asked to repair it
    │   └── BudgetExceeded                  the day's budget of calls or tokens is spent
    ├── ImportFormatError                   a file to import is not what it claims to be
    ├── SpreadError                         work that was given to other processes could not be done there
    ├── CatalogError                        a file of the package says of itself what cannot be read or is not so
    └── MissingExtra (also ImportError)     an optional dependency is not installed

Each message names the value at fault and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class RemanenceError(Exception):
    """Root of all errors raised on purpose."""


class InvalidInput(RemanenceError, ValueError):
    """The caller passed something that cannot be used; nothing was stored."""


class ScopeRequired(InvalidInput):
    """No scope was given: every memory belongs to a user, an agent, a run or an app."""


class InvalidTime(InvalidInput):
    """A date that cannot be read or represented."""


class InvalidFilter(InvalidInput):
    """An unknown operator or a malformed filter."""


class NotFound(RemanenceError, KeyError):
    """No such record in this scope."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0]) if self.args else ""


class Conflict(RemanenceError):
    """The record changed since it was read; read it again and retry."""


class StoreError(RemanenceError):
    """The place where memories are kept could not do it; the batch left no trace, unless this is `StoreUncertain`."""


class StoreBusy(StoreError):
    """Another process held the write lock for longer than the timeout."""


class StoreReadOnly(StoreError):
    """The file or its folder cannot be written."""


class StoreFull(StoreError):
    """The disk is full; nothing of the failed batch was kept."""


class StoreCorrupt(StoreError):
    """The file is damaged or is no Remanence store."""


class StoreVersionError(StoreError):
    """The file was written by a newer Remanence; it was not touched."""


class StoreUncertain(StoreError):
    """The connection was lost while a batch was committed: it was kept whole or not at all; nobody can say which."""


class StoreClosed(StoreError):
    """The store was used after close()."""


class EmbeddingError(RemanenceError):
    """An embedder failed or returned something unusable."""


class EmbeddingSpaceMismatch(EmbeddingError):
    """The store holds vectors of another model or dimension; `remanence reembed` moves it over."""


class LLMError(RemanenceError):
    """A language model was asked and did not serve; what was stored and derived without it stays as it is."""


class LLMUnavailable(LLMError):
    """The model cannot be reached, is too slow, overloaded or out of quota; the same request may succeed later."""

    retry_after: float | None = None
    """Seconds that the service asks to wait; None if it did not say."""


class LLMRejected(LLMError):
    """The service refuses the request as it is: a wrong key, an unknown model, forbidden content."""


class LLMMalformed(LLMError):
    """The answer is not what was asked for, also after the model was told what is wrong with it."""


class BudgetExceeded(LLMError):
    """The day's budget of calls or tokens is spent; nothing was sent."""

    until: datetime | None = None
    """When the next day's budget begins."""


class ImportFormatError(RemanenceError):
    """A file to import is not what it claims to be; nothing of it was stored."""


class SpreadError(RemanenceError):
    """Work that was given to other processes or machines could not be done there; what was done before stays done."""


class CatalogError(RemanenceError):
    """A mechanism or benchmark says of itself what cannot be read or is not so; the message names file and fix."""


class MissingExtra(RemanenceError, ImportError):
    """An optional dependency is not installed."""
