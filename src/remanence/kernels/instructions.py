"""Standing instructions: what a user wants done from now on, and when they take it back.

`detect` reads one turn. It finds

- instructions ("Always answer in French", "never mention my ex", "call me Bo", "stop using emojis") with their scope:
  `always`, the `session`, or a `topic` ("when I ask about recipes, …");
- revocations ("forget what I said about emojis", "you can mention my ex again");
- preferences ("I prefer short answers", "I love jazz").

Only the user can instruct. The same words in the text of a tool or an assistant, in quotation marks, in a record of
less than full trust, or beside an attempt to lift what holds ("ignore all previous instructions and …") are data: they
come back with the reason why they are `suspicious`, and `settle` leaves them out.

Rules for English; other languages yield nothing. The idea of a privileged memory for instructions is Rhea's (2025).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.summaries import sentences

Kind = Literal["instruction", "revocation", "preference"]
Reach = Literal["always", "session", "topic"]

LONGEST = 400
"""Characters of a sentence that is read; longer ones are documents."""

_USERS = frozenset({"", "user", "human"})
_VERBS = (
    "answer|reply|respond|write|speak|talk|say|tell|mention|bring up|include|use|add|explain|ask|address|refer to"
    "|format"
    "|begin|cite|quote|round|convert|assume|suggest|recommend|translate|sign|list|avoid|call|show|give me|give|send me"
    "|remind me|remind|keep|summari[sz]e|provide|check|double-check|confirm|end|start|put|spell|propose|offer|repeat"
    "|apologi[sz]e|discuss|interrupt|switch to|stick to|sugarcoat|assume|be (?:brief|concise|honest|formal|polite"
    "|direct)"
)
_GERUNDS = (
    "answering|replying|responding|writing|speaking|talking|saying|telling|mentioning|bringing up|including|using"
    "|adding"
    "|explaining|asking|addressing|referring to|calling|suggesting|recommending|translating|reminding|repeating"
    "|apologi[sz]ing|sending|giving|ending|starting|signing|offering|showing|formatting|proposing"
)
_LANGUAGES = (
    "english|french|german|spanish|italian|portuguese|dutch|swedish|danish|norwegian|finnish|polish|turkish|romanian"
    "|hungarian|czech|catalan|russian|ukrainian|greek|arabic|hebrew|hindi|chinese|mandarin|japanese|korean|latin"
    "|vietnamese|thai|indonesian"
)
_STYLE = (
    "answers?|repl(?:y|ies)|responses?|explanations?|messages?|emojis?|bullet points?|bullets|lists?|tables?|markdown"
    "|headings?|jargon|abbreviations?|acronyms?|slang|exclamation (?:marks?|points?)|metric|imperial|celsius|fahrenheit"
    "|kilomet(?:er|re)s|miles|24-hour|12-hour|units?|spelling|tone|language|pronouns|plain text|code blocks?|sarcasm"
    "|small talk|disclaimers?|hashtags?|footnotes?|sentences|summar(?:y|ies)|formal|informal"
)
_FROM_NOW = (
    r"from now on(?:wards?)?|from here on(?: out)?|going forward|henceforth|from today(?: on)?|in (?:the )?future"
    r"|as of (?:now|today)|for (?:all|every) (?:future )?(?:answers?|repl(?:y|ies)|messages?)"
)
_SESSION = (
    r"(?:in|for|during|throughout) (?:(?:the rest|the remainder) of )?(?:this|our|the current|today's)"
    r" (?:chat|conversation|session|thread|call|discussion)|for now|just for today|for today|until i say otherwise"
)
_LEAD = re.compile(
    r"^(?:[\W_]+|(?:please|pls|also|and|so|but|ok|okay|oh|hey|hi|hello|right|well|now|then|just|kindly|actually|listen"
    r"|thanks|thank you|by the way|btw|one more thing|another thing|reminder|note|important|rule|new rule"
    r"|as a rule|in general|first|second|finally|again)\b[,:!.]?\s*)+",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"^(?:(?:can|could|would|will) you (?:please |kindly )?|i(?:'d| would) (?:like|want|appreciate"
    r"|prefer) (?:it if )?you "
    r"(?:to |would |could )?|i (?:want|need|expect|ask) you to |you (?:should|must|have to|need to|are to|'re to) "
    r"|make sure (?:to |that you |you )|be sure to |(?:please )?remember to |try to |let's )",
    re.IGNORECASE,
)
_ALWAYS = re.compile(
    rf"^(?:always|never|only|(?:do not|don't|dont|don’t) ever) (?:ever )?(?:please )?(?:{_VERBS})\b"
    r"(?! (?:up|in\b(?! {0}))\b)".replace("{0}", f"(?:{_LANGUAGES})"),
    re.IGNORECASE,
)
_DO = re.compile(
    rf"^(?:please )?(?:always |never |only |do not |don't |dont |don’t |not )?(?:{_VERBS})\b", re.IGNORECASE
)
_DONT = re.compile(
    rf"^(?:(?:do not|don't|dont|don’t) (?:ever |please )?(?:{_VERBS})|stop (?:{_GERUNDS})|(?:avoid"
    rf"|quit) (?:{_GERUNDS}))"
    r"(?! (?:me|it|that|this|so|you|anything|about it)\b\W*(?:$|you|i\b|that|it|he|she|they))\s+\S",
    re.IGNORECASE,
)
_NO_STYLE = re.compile(
    rf"^(?:no (?:more )?|avoid |skip |drop |leave out |enough with )(?:the |your |any |all )?(?:\w+ )?(?:{_STYLE})\b",
    re.IGNORECASE,
)
_USE_STYLE = re.compile(
    rf"^(?:only )?use (?!my\b|the same\b)(?:\S+ ){{0,3}}(?:{_STYLE}|they/them|she/her|he/him|{_LANGUAGES})\b"
    rf"|^keep (?:your |the |all |my )?(?:{_STYLE})\b.*\b(?:short|brief|concise|simple|formal|casual"
    r"|under \w+|below \w+|to \w+ (?:sentences?|words?|lines?))\b"
    rf"|^(?:answer|reply|respond|write|speak|talk)(?: to me| back)? (?:only |exclusively )?in (?:{_LANGUAGES})\b"
    r"|^my pronouns are \w+|^be (?:more |less )?(?:brief|concise|formal|informal|direct|polite|blunt)\b",
    re.IGNORECASE,
)
_CALL_ME = re.compile(
    r"^(?:(?i:please |just |always |you can |you may |everyone calls me .{1,30}, so )*)(?i:call|address) me (?:as "
    r"|by )?"
    r"(?:[\"“])?(?!Back|Later|When|If|At|On|Tomorrow|Maybe|Crazy|Old|A\b|The\b|Today|Monday|Tuesday|Wednesday|Thursday"
    r"|Friday|Saturday|Sunday|Ishmael)(?P<name>[A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){0,2})(?:[\"”])?"
    r"(?=\W*$|,|\.|;| please| from now| instead| not | rather than| and\b)"
)
_WHENEVER = re.compile(
    r"^(?:when|whenever|every time|each time|any time|anytime|if)(?:ever)? (?:i|you|we|someone|my|the"
    r"|it)\b(?P<topic>[^,]{2,80}),"
    r" (?:then )?(?P<rest>.+)$",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\b(?:when it comes to|for|about|regarding|concerning|in|on) (?:my |the |any |all )?"
    r"(?P<topic>recipes?|code|emails?|travel\w*|math\w*|music|work|health|finance\w*|cooking|homework|sports?|weather"
    r"|films?|movies?"
    r"|books?|restaurants?|politics|news)\b",
    re.IGNORECASE,
)
_REVOKE = (
    re.compile(
        r"^(?:you can |you may |let's |i )?(?:forget|ignore|disregard|scratch|drop|scrap|cancel|lift|undo|never mind"
        r"|nevermind"
        r"|take back)\b.{0,12}?\b(?:(?:what|everything|all|anything) i (?:said|told you|asked(?: you)?|wrote)"
        r"|my (?:\w+ )?"
        r"(?:instructions?|requests?|rules?|wish(?:es)?|preferences?|ban)|(?:the|that) (?:\w+ ){0,3}?(?:rule|ban"
        r"|restriction"
        r"|instruction))\b(?P<rest>.*)$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?:it's (?:ok|okay|fine) (?:to|if you)|you(?: can|'re allowed to| are allowed to| may)|feel free to"
        rf"|start)\s+"
        rf"(?P<rest>(?:{_VERBS}|{_GERUNDS})\b.*\bagain)\b",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?:you (?:don't|do not|don’t|no longer) (?:have to|need to|must)|(?:there's |there is )?no need to"
        rf"|no longer)"
        rf"\s+(?P<rest>(?:always |only )?(?:{_VERBS})\b.*?)(?: any ?more| any longer| now)?\W*$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?P<rest>(?:\w+ )?(?:{_STYLE}|my \w+))(?: is| are)(?: perfectly| totally)? (?:fine|ok|okay|allowed|welcome)"
        r" (?:again|now|after all)\b",
        re.IGNORECASE,
    ),
)
_PREFER = re.compile(
    r"\bi(?:'d| would)? (?:really |much |generally |usually |always |personally |definitely )*"
    r"(?P<verb>prefer|rather (?:have|get|take|drink|eat)|like|love|enjoy|adore|hate|dislike|loathe|can't stand"
    r"|can’t stand"
    r"|cannot stand|don't (?:really )?like|do not like|don’t (?:really )?like"
    r"|don't care for)\s+(?P<what>[^.!?;]{2,120})"
    r"|\bmy (?:all-time )?favou?rite (?P<of>[\w ]{2,40}?) (?:is|are|has always been) (?P<best>[^.!?;]{2,80})"
    r"|\bi(?:'m| am) (?:not )?(?:a |really )*(?:big |huge )?(?:fan of|into|fond of|partial to) (?P<fan>[^.!?;]{2,80})",
    re.IGNORECASE,
)
_NO_PREFERENCE = re.compile(
    r"^(?:it|that|this|you|him|her|them|to (?:know|hear|ask|see|tell|say|thank)|how|what|when|the way|your|if"
    r"|being able"
    r"|nothing|these|those)\b",
    re.IGNORECASE,
)
_HYPOTHETICAL = re.compile(
    r"\b(?:do you|did you|does|would you|if|used to|whether|she|he|they)\b[^.!?]*$", re.IGNORECASE
)
_REPORTED = re.compile(
    r"\b(?:said|says|told|tells|asked|asks|wrote|yelled|shouted|reads|read|goes|went|reply|replied|insists|sign"
    r"|poster|sticker"
    r"|quote|motto|lyrics?|email|mail|letter|note|post|article|page)\b[^.!?]{0,60}$",
    re.IGNORECASE,
)
_INJECTION = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass|discard) (?:(?:all|any|the|your|every|of|these|those|previous"
    r"|prior|above"
    r"|earlier|preceding|existing|system|safety|other)\s+){1,4}(?:instructions?|prompts?|rules|guidelines|directives?"
    r"|context)\b"
    r"|\b(?:reveal|print|show|repeat|output)\b.{0,30}\bsystem prompt\b|<\|?(?:im_start|system|/?inst)\b|\[/?INST\]"
    r"|\bdo not (?:tell|inform|alert|notify|mention (?:this|it) to) the user\b|^\W*(?:system|assistant)\s*:"
    r"|\b(?:new|updated) (?:system )?instructions?\s*:|\byou are now (?:in )?(?:dan\b|developer mode|jailbroken"
    r"|a different)",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED = re.compile(
    r"\"[^\"\n]*\"|“[^”\n]*”|«[^»\n]*»|```.*?(?:```|\Z)|`[^`\n]*`|^[ \t]*>[^\n]*$|(?<!\w)'[^'\n]{3,}'(?!\w)",
    re.MULTILINE | re.DOTALL,
)
_KEYS = (
    (
        "language",
        re.compile(rf"\b(?:in|into|to|speak|use) (?:(?:only|plain|simple|british|american) )?(?:{_LANGUAGES})\b", re.I),
    ),
    ("name", re.compile(r"\b(?:call|address)(?:ing)? me\b", re.I)),
    ("pronouns", re.compile(r"\bpronouns\b|they/them|she/her|he/him", re.I)),
    ("emoji", re.compile(r"\bemojis?\b", re.I)),
    ("units", re.compile(r"\b(?:metric|imperial|celsius|fahrenheit|kilomet(?:er|re)s|miles|units?)\b", re.I)),
    (
        "length",
        re.compile(
            r"\b(?:short|brief|briefly|concise|concisely|long|longer|shorter|detailed|in detail|at length|verbose)\b"
            r"|\b(?:one|two|three|four|five|\d+) (?:sentences?|words|lines|paragraphs?)\b", re.I,
        ),
    ),
    ("layout", re.compile(r"\b(?:bullet points?|bullets|tables?|markdown|headings?|plain text|lists?)\b", re.I)),
    ("tone", re.compile(r"\b(?:formal|formally|informal|casual|sarcas\w+|polite|politely|direct|blunt)\b", re.I)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a turn asks for, takes back or prefers: characters `start:end` of its text.

    `key` is what it is about: one of a few settings of which the newest holds ("language", "emoji", "name"), or ""
    where `topic`, the stems of what it names, must tell. `suspicious` says why it must not be followed ("": it may).
    """

    kind: Kind
    text: str
    start: int
    end: int
    reach: Reach = "always"
    key: str = ""
    topic: tuple[str, ...] = ()
    confidence: float = 0.5
    suspicious: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """A finding in a conversation: in which record (ids sort by order of speech), when, and in which session."""

    record: str
    at: datetime
    finding: Finding
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """An instruction, and what ended it: a revocation or a newer instruction; None while it holds."""

    given: Given
    ended_by: Given | None = None


def detect(text: str, *, role: str | None = None, trust: float = 1.0) -> list[Finding]:
    """What a turn asks for, takes back or prefers, in order of text. `role` None counts as the user's."""
    if not _WORTH_A_LOOK.search(text):
        return []
    quoted = [match.span() for match in _QUOTED.finditer(text)]
    poison = _INJECTION.search(text)
    outside = ""
    if (role or "").casefold() not in _USERS:
        outside = f"said by {role}"
    elif trust < 1:
        outside = f"trust {trust:g}"
    elif poison:
        outside = "asks to ignore what holds"
    found: list[Finding] = []
    for start, end in _clauses(text):
        if end - start > LONGEST:
            continue
        inner = next((span for span in quoted if span[0] <= start and end <= span[1]), None)
        finding = _read(text[start:end], start)
        if finding is not None:
            why = outside or ("quoted" if inner is not None else "")
            if finding.kind != "preference" or not why:
                found.append(_suspect(finding, why))
    for first, last in quoted:
        # What somebody is reported to have said.
        if last - first <= LONGEST and not any(first <= one.start < last for one in found):
            inner_text = text[first:last].strip("\"“”«»`'> \t")
            finding = _read(inner_text, text.index(inner_text, first)) if inner_text else None
            if finding is not None and finding.kind != "preference":
                found.append(_suspect(finding, outside or "quoted"))
    if poison and not any(one.suspicious for one in found):
        found.append(
            Finding("instruction", poison[0], *poison.span(), confidence=0.9, suspicious="asks to ignore what holds")
        )
    return sorted(found, key=lambda one: (one.start, one.end))


def settle(given: Iterable[Given]) -> list[Standing]:
    """Which instructions hold, and what ended the others; by order of speech, whatever the order of `given`.

    Of instructions with one key the newest holds within its reach; a revocation ends all earlier ones with its key, or
    whose topic it names; one without either ends all. What is suspicious counts for nothing.
    """
    ordered = sorted(
        {(one.record, one.finding.start, one.finding.end): one for one in given if not one.finding.suspicious}.values(),
        key=lambda one: (one.record, one.finding.start, one.finding.end),
    )
    standing: list[Standing] = []
    for one in ordered:
        if one.finding.kind == "preference":
            continue
        standing = [
            Standing(old.given, one) if old.ended_by is None and _ends(one, old.given) else old for old in standing
        ]
        if one.finding.kind == "instruction":
            standing.append(Standing(one))
    return standing


def _ends(new: Given, old: Given) -> bool:
    one, other = new.finding, old.finding
    if other.reach == "session" and new.session != old.session:
        return False
    if one.kind == "instruction":
        if one.reach == "session" and other.reach != "session":
            return False
        same_key = bool(one.key) and one.key == other.key
        both_topics = one.reach == "topic" or other.reach == "topic"
        if same_key:
            return not both_topics or (one.reach == other.reach and bool(set(one.topic) & set(other.topic)))
        return not one.key and not other.key and bool(one.topic) and set(one.topic) == set(other.topic)
    if one.key:
        return one.key == other.key
    return not one.topic or bool(set(one.topic) & set(other.topic))


def _suspect(finding: Finding, why: str) -> Finding:
    if not why:
        return finding
    return Finding(
        finding.kind, finding.text, finding.start, finding.end, finding.reach, finding.key, finding.topic,
        finding.confidence, why,
    )  # fmt: skip


def _clauses(text: str) -> Sequence[tuple[int, int]]:
    """Sentences, and the parts of a sentence that a colon or semicolon separates."""
    spans = []
    for start, end in sentences(text):
        cut = start
        for match in re.finditer(r"[;:] (?=\S)| [–—-] ", text[start:end]):
            spans.append((cut, start + match.start()))
            cut = start + match.end()
        spans.append((cut, end))
    return [(a, b) for a, b in spans if b > a]


def _read(clause: str, start: int) -> Finding | None:
    """The finding of one clause, as if the user had said it; None where it is none."""
    lead = _LEAD.match(clause)
    body = clause[lead.end() :] if lead else clause
    if not body:
        return None
    for pattern in _REVOKE:
        if match := pattern.match(body):
            return _finding("revocation", clause, start, match["rest"], 0.8)
    asks = body.rstrip("\"”'’) ")[-1:] == "?" and _TAG.search(body) is None
    polite = _ASKING.match(body)
    if asks and polite is None:
        return None
    reach: Reach = "always"
    said_reach = ""
    request = body
    if lasting := re.match(rf"(?:{_FROM_NOW})\b[,:]?\s*", request, re.IGNORECASE):
        request, said_reach = request[lasting.end() :], "always"
    elif passing := re.match(rf"(?:{_SESSION})\b[,:]?\s*", request, re.IGNORECASE):
        request, said_reach = request[passing.end() :], "session"
    condition = _WHENEVER.match(request)
    topic = ""
    if condition:
        request, topic = condition["rest"], condition["topic"]
    request = _strip_lead(request)
    polite = _ASKING.match(request)
    if polite:
        request = _strip_lead(request[polite.end() :])
    if not said_reach and re.search(rf"\b(?:{_FROM_NOW})\b", request, re.IGNORECASE):
        said_reach = "always"
    elif not said_reach and re.search(rf"\b(?:{_SESSION})\b", request, re.IGNORECASE):
        said_reach = "session"
    confidence = _confidence(request, bool(said_reach), condition is not None, polite is not None)
    if confidence:
        about = _ABOUT.search(request)
        if said_reach == "session":
            reach = "session"
        elif topic:
            reach = "topic"
        elif about and not _CALL_ME.match(request):
            reach, topic = "topic", about["topic"]
        return _finding(
            "instruction", clause, start, topic if reach == "topic" and topic else request, confidence, reach
        )
    return _preference(clause, start)


def _strip_lead(text: str) -> str:
    lead = _LEAD.match(text)
    return text[lead.end() :] if lead else text


def _confidence(request: str, lasting: bool, conditional: bool, polite: bool) -> float:
    """How surely a clause without its introduction is a standing instruction; 0 where it is none."""
    if _CALL_ME.match(request):
        return 0.9
    if _IDIOM.match(request):
        return 0.0
    if _ALWAYS.match(request):
        return 0.9
    if lasting and (
        _DO.match(request) or _DONT.match(request) or _NO_STYLE.match(request) or _USE_STYLE.match(request)
    ):
        return 0.9
    if _NO_STYLE.match(request) or _USE_STYLE.match(request):
        return 0.7
    if _DONT.match(request):
        return 0.7
    if conditional and _DO.match(request):
        return 0.7
    if polite and re.search(r"\b(?:always|never|every time|each time|whenever)\b", request, re.IGNORECASE):
        return 0.8 if _DO.match(request) else 0.0
    return 0.0


_TAG = re.compile(r", (?:ok|okay|alright|all right|please|right|will you|can you|deal|got it)\?\W*$", re.IGNORECASE)
_IDIOM = re.compile(
    r"^(?:never (?:mind|say never|give up|give in)|always (?:be there|check with|keep (?:going|smiling|your))"
    r"|(?:don't|do not|don’t) (?:tell me (?:that |you|it|he|she|they|we)|ask(?: me (?:why|how|what))?\W*$|say (?:that"
    r"|it|so)\b"
    r"|mention it|call (?:it|him|her|them|us)|keep me waiting|start\b(?! (?:your|each|every|with))|give up|add up"
    r"|end up"
    r"|(?:be|put|send|start|keep|show|check|offer) (?:yourself|me in|off))"
    r"|(?:always|never|only) (?:use|keep|check|put|start|end|add|give) (?:the|a|an|your) (?!answer|repl|response|tone"
    r"|unit|spell))",
    re.IGNORECASE,
)


def _preference(clause: str, start: int) -> Finding | None:
    match = _PREFER.search(clause)
    if match is None or _HYPOTHETICAL.search(clause[: match.start()]) or clause.rstrip().endswith("?"):
        return None
    what = match["what"] or match["best"] or match["fan"] or ""
    if _NO_PREFERENCE.match(what):
        return None
    if match[0].lower().startswith(("i'd like", "i would like", "i'd love", "i would love")) and not re.search(
        rf"\b(?:{_STYLE})\b", what, re.IGNORECASE
    ):
        return None
    return _finding("preference", clause, start, f"{match['of'] or ''} {what}".strip(), 0.7)


def _finding(kind: Kind, clause: str, start: int, about: str, confidence: float, reach: Reach = "always") -> Finding:
    key = next((name for name, pattern in _KEYS if pattern.search(about)), "")
    if reach == "topic":
        key = next((name for name, pattern in _KEYS if pattern.search(clause)), "")
    return Finding(kind, clause, start, start + len(clause), reach, key, _topic(about), confidence)


_EMPTY_WORDS = frozenset(
    """
    alway never onli pleas answer repli respond write speak talk say tell mention bring includ use add ask start stop
    give send call refer again anymor now ever everi time thing anyth everyth said told rule ban instruct request prefer
    avoid want need make sure remind suggest recommend keep more futur forward
    """.split()
)


def _topic(about: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(t for t in _analyzer().terms(about) if not is_stopword(t) and t not in _EMPTY_WORDS))


@functools.cache
def _analyzer() -> Analyzer:
    return Analyzer("english")


_WORTH_A_LOOK = re.compile(
    r"\b(?:always|never|only|don't|dont|don’t|do not|stop|avoid|quit|no|skip|drop|leave|enough|use|keep|call|address"
    r"|from|going"
    r"|henceforth|whenever|when|every|each|if|any|remember|make|be|forget|ignore|disregard|scratch|scrap|cancel|lift"
    r"|undo|mind|take"
    r"|again|need|have to|fine|ok|okay|allowed|prefer|rather|like|love|enjoy|adore|hate|dislike|stand|loathe"
    r"|favou?rite|fan|fond"
    r"|into|partial|pronouns|answer|reply|respond|write|speak|talk|please|override|bypass|discard|reveal|system|inst"
    r"|you are now"
    r"|for|in|as|care)\b",
    re.IGNORECASE,
)
