"""What should never have become a memory: by the words alone.

Each sort is a test that can be read below; `junk` names the first that a text meets. An audit of a mem0 store in use
found boilerplate, copied system prompts, heartbeats and error dumps among 10,134 entries (mem0 issue 4573).
"""

from __future__ import annotations

import re
from typing import Final

from remanence.kernels.duplicates import canonical, says_nothing
from remanence.kernels.instructions import detect

__all__ = ["SORTS", "junk", "suspicious"]

SORTS: Final = ("empty", "heartbeat", "system prompt", "error dump", "machine output", "boilerplate", "too short")
"""All that `junk` may answer, in the order in which it asks."""
CONVERSATION: Final = frozenset(("boilerplate", "too short", "empty"))
"""What is junk as a memory of its own, and quite normal as a turn of a conversation."""

_LEAST_WORDS: Final = 2
_LOOK: Final = 20_000
"""Characters that are looked at."""
_HEARTBEAT: Final = re.compile(
    r"\W*(?:heart[ _-]?beat(?:[ _:-]{0,2}(?:ok|check|received|ack))?|no[ _-]?reply"
    r"|health[ _-]?check(?:[ _-]?(?:ok|passed))?"
    r"|(?:cron|scheduled) (?:job|task|run)\b.{0,80}|(?:status|ping|keep[ _-]?alive)\W+(?:ok|pong|alive)|ping|pong"
    r"|still (?:alive|running)|nothing (?:new|to report|to do)|no (?:new )?(?:messages|updates|tasks|changes))\W*",
    re.IGNORECASE,
)
_SYSTEM: Final = re.compile(
    r"^[ \t\[<#*]{0,9}(?:system|developer)(?: prompt| message)?[ \t]?:|<\|?(?:im_start|system|/?inst)\b|\[/?INST\]"
    r"|\byou are (?:a|an) (?:\w+[ -]){0,4}(?:assistant|chatbot|agent|ai|language model)\b"
    r"|\b(?:your (?:role|task|job) is to|as an assistant,? you (?:must|should|will))\b"
    r"|\b(?:knowledge cutoff|available tools|tool definitions?|function signatures?)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_ERROR: Final = re.compile(
    r"Traceback \(most recent call last\)|^[ \t]*File \"[^\"\n]+\", line \d+"
    r"|^[ \t]*at [\w$.<>]+ ?\([^)\n]*:\d+(?::\d+)?\)|\b[A-Z]\w*(?:Error|Exception)\b[ ]?[:(]"
    r"|\b(?:HTTP|status(?: code)?)[ :/]{0,3}(?:1\.1 )?[45]\d\d\b"
    r"|\b(?:ECONNREFUSED|ETIMEDOUT|ENOENT|segmentation fault|core dumped|stack trace|panic:)"
    r"|^[ \t\[(]{0,9}(?:error|fatal|warn(?:ing)?|ERROR|FATAL|WARN(?:ING)?)[ \t]?[:\]]",
    re.MULTILINE,
)
_MACHINE: Final = re.compile(
    r"[A-Za-z0-9+/]{120,}={0,2}|\A\W{0,9}(?:!doctype|html|\?xml)\b|^(?:diff --git |@@ -\d+)"
    r"|^\[?\d{4}-\d\d-\d\d[T ][\d:.,]+\S*[ \t]+\[?(?:DEBUG|INFO|WARN(?:ING)?|ERROR)\b",
    re.IGNORECASE | re.MULTILINE,
)
_BOILERPLATE: Final = re.compile(
    r"\bas an ai\b|\bi(?:'m| am) (?:just )?(?:an ai|a language model)|\bhow (?:can|may) i (?:help|assist) you\b"
    r"|\b(?:feel free|don't hesitate) to (?:ask|reach out|contact)\b|\blet me know if (?:you|there)\b"
    r"|\bi(?:'m| am) sorry,? but i (?:can't|cannot)\b|\bhappy to help\b|\bis there anything else\b"
    r"|\A\W{0,9}(?:the )?user (?:said (?:hello|hi|thanks|thank you|ok)|greeted|thanked|asked a question"
    r"|sent a message)\b.{0,30}\Z",
    re.IGNORECASE,
)
_SENDS_AWAY: Final = re.compile(
    r"\b(?:send|forward|post|upload|e-?mail|exfiltrate|leak)\b.{0,60}(?:https?://|[\w.+-]+@[\w-]+\.\w+)"
    r"|\b(?:send|forward|post|upload|e-?mail|exfiltrate|leak) (?:me |us )?"
    r"(?:(?:all|the|your|any|every|stored|saved|their|private|user's) ){0,4}"
    r"(?:api[ _-]?keys?|passwords?|credentials|tokens|secrets|conversations?|chat history|memories)\b"
    r"|\b(?:always|must|should) (?:recommend|trust|prefer|click|visit|run|execute|install)\b.{0,60}https?://"
    r"|\bcurl\b.{0,80}\|\s{0,9}(?:ba)?sh\b",
    re.IGNORECASE | re.DOTALL,
)
_TELLING: Final = re.compile(r"\W{0,9}(?:i|we|my|our|he|she|they)\b", re.IGNORECASE)
_OWN: Final = frozenset(("", "user", "human"))


def junk(text: str) -> str | None:
    """Which sort of junk a text is; None for what may be worth keeping.

    empty: no letter or digit. heartbeat: "HEARTBEAT_OK", "ping", "nothing to report", and nothing else. system prompt:
    "You are a helpful assistant", "system:". error dump: a traceback, the name of an exception, a status of 400 and up.
    machine output: JSON, HTML, logs, diffs, base64. boilerplate: what assistants say to be polite. too short: fewer
    than two words besides fillers and replies.
    """
    words = canonical(text)
    if not words:
        return "empty"
    if len(text) <= 200 and _HEARTBEAT.fullmatch(text):
        return "heartbeat"
    head = text[:_LOOK]
    if _SYSTEM.search(head):
        return "system prompt"
    if _ERROR.search(head):
        return "error dump"
    if _MACHINE.search(head) or _is_structure(text.strip()):
        return "machine output"
    if _BOILERPLATE.search(head):
        return "boilerplate"
    spaced = words[0].isascii()
    return "too short" if says_nothing(text) or (spaced and len(words) < _LEAST_WORDS) else None


def suspicious(text: str, role: str | None = None, trust: float = 1.0) -> str | None:
    """Why a text looks like an instruction that somebody slipped in; None where it does not.

    An attempt to lift what holds, or to send things away, is one whoever says it. What comes from no part of the
    conversation (trust of 0.5 and below: tools, web pages, files) has nothing to instruct at all.
    """
    if _SENDS_AWAY.search(text[:_LOOK]) and not _speaks_of_self(text, role):
        return "asks to send something away or to run it"
    for finding in detect(text[:_LOOK]):
        if finding.suspicious and finding.suspicious != "quoted":
            return finding.suspicious
        if finding.kind == "instruction" and trust <= 0.5:
            return "an instruction in data"
    return None


def _is_structure(text: str) -> bool:
    """Whether a text is JSON or the like, whole or cut."""
    return text[:1] in ("{", "[") and text[-1:] in ("}", "]") and '"' in text and (":" in text or "," in text)


def _speaks_of_self(text: str, role: str | None) -> bool:
    """ "I sent her an e-mail with the passwords" is the user's own business."""
    return (role or "").casefold() in _OWN and re.match(
        r"\W*(?:i|we|my|our|he|she|they)\b", text, re.IGNORECASE
    ) is not None
