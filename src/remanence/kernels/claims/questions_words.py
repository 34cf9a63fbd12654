"""The words of questions: which noun, verb or relation asks for which attribute of a person."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from remanence.kernels.claims.ontology import FAVOURITE

_OUR = re.compile(r"\b(col|flav|hum|neighb|harb)or")

RELATIONS: dict[str, str] = {
    word: key
    for key, words in {
        "partner": "partner|wife|husband|spouse|girlfriend|boyfriend|fiance|fiancé|fiancee|fiancée|significant other",
        "sister": "sister|little sister|big sister|older sister|younger sister|twin sister",
        "brother": "brother|little brother|big brother|older brother|younger brother|twin brother",
        "mother": "mother|mom|mum|mama",
        "father": "father|dad|papa",
        "son": "son",
        "daughter": "daughter",
        "child": "child|kid|children|kids",
        "client": "client",
        "friend": "friend|best friend",
        "boss": "boss|manager|supervisor|line manager",
        "flatmate": "flatmate|roommate|housemate",
        "neighbour": "neighbour|neighbor|next door neighbor|next-door neighbor|next door neighbour|next-door neighbour",
        "coach": "coach|trainer",
        "colleague": "colleague|coworker|co-worker",
        "cousin": "cousin",
        "aunt": "aunt",
        "uncle": "uncle",
        "niece": "niece",
        "nephew": "nephew",
        "grandmother": "grandmother|grandma|granny",
        "grandfather": "grandfather|grandpa",
        "teacher": "teacher",
        "doctor": "doctor|gp",
        "landlord": "landlord|landlady",
    }.items()
    for word in words.split("|")
}

NOUNS: dict[str, str] = {
    word: key
    for key, words in {
        "home_city": "city|town|home city|city of residence|place of residence|residence|current city|current town",
        "hometown": "hometown|home town|birthplace|place of birth|town of birth|city of birth",
        "job": "job|jobs|job title|profession|occupation|line of work|day job",
        "employer": "employer|employers|company|companies|workplace|place of work|firm",
        "car": "car|cars|vehicle",
        "commute": "commute|way to work",
        "rent": "rent|monthly rent",
        "school": "kids' school|children's school|kids school",
        "phone": "phone|phones|mobile|mobile phone|cell phone|smartphone",
        "food": "favourite food|favourite dish|favourite meal",
        "drink": "morning drink",
        "instrument": "instrument|musical instrument",
        "language": "language lessons",
        "band": "favourite band",
        "allergy": "allergy|allergies",
        "hobby": "hobby|hobbies|pastime|pastimes",
        "pet": "pet|pets|dog|cat|rabbit|hamster|parrot|tortoise",
        "run_time": "best time over ten kilometres|best 10k time|10k best|10k time|personal best over ten kilometres",
        "injury": "injury|injuries",
        "trip": "next trip|next holiday destination|next travel destination",
        "volunteer": "volunteering|volunteer work",
        "name": "name|full name|first name",
        "age": "age",
        "birthday": "birthday|date of birth|birth date|birthdate",
        "email": "email|e-mail|email address|e-mail address|mail address",
        "phone_number": "phone number|telephone number|mobile number",
        "address": "address|home address|street address",
        "diet": "diet|dietary restrictions|dietary restriction|eating habits",
        "likes": "likes",
        "dislikes": "dislikes",
        "goal": "goal|goals|aim|ambition|ambitions",
        "religion": "religion|faith",
        "nationality": "nationality|citizenship",
        "marital_status": "marital status|relationship status",
        "gender_identity": "gender identity",
        "education": "education|major|field of study",
        "university": "university|college|alma mater",
        "degree": "degree",
        "nickname": "nickname",
        "height": "height",
        "country": "country|home country|country of origin",
        "speaks": "native language|mother tongue|first language",
        "condition": "diagnosis|health condition|medical condition|condition",
        "child": "child|children|kid|kids",
        "sister": "sisters",
        "brother": "brothers",
        "son": "sons",
        "daughter": "daughters",
        "friend": "friends|best friends",
        "dentist": "dentist appointment|dentist's appointment|dental appointment",
        "driving_test": "driving test",
        "flight": "flight",
        "interview": "job interview|interview",
        "housewarming": "housewarming party|housewarming",
    }.items()
    for word in words.split("|")
}

FAVOURITES: dict[str, str] = {"food": "food", "dish": "food", "meal": "food", "band": "band"}
"""What "favourite …" means where the ontology has a name of its own for it."""

SEVERAL = frozenset({"allergy", "hobby", "likes", "dislikes", "owns", "speaks", "goal", "condition", "event"})
"""Attributes that are asked for as a whole, because people have several at once."""

NO_SUBJECT = frozenset(
    """
    a an the this that these those it its there here people someone somebody anyone anybody everyone everybody one
    most some any all many much more what who which how when where why each every no nobody is are was were be been
    do does did has have had will would can could should may might must not and or but if of to in on at for with by
    about from as than then so too very just only still also even ever never now today tomorrow yesterday
    """.split()
)
"""Words that never name a person."""

SELF = {"i": "user", "me": "user", "my": "user", "mine": "user", "we": "user", "our": "user", "us": "user",
        "the user": "user", "user": "user", "myself": "user"}  # fmt: skip
PRONOUNS = {"he": "he", "his": "he", "him": "he", "she": "she", "her": "she", "they": "they", "their": "they",
            "them": "they"}  # fmt: skip
YOU = frozenset({"you", "your", "yours"})


ANYTHING = r"(?P<topic>[a-z' -]{2,40}?)"


@dataclass(frozen=True, slots=True)
class Verb:
    """How one attribute is asked for with a verb; all fields are alternatives of a regular expression.

    `forms` of the verb ("live|lives"); `things` that may follow which or what ("city|town"); `asks` question words
    that need no noun ("where"); `after` what stands between verb and value ("in"); `before_wh` prepositions in front
    ("in which city"); `began` verbs with which it starts ("moved to"); `ended` with which it stops; `trail` words
    after the verb that mean nothing ("in the mornings"), without which the verb is another one where `needs_trail`.
    `kin`: it is asked of the children of the person. `loose`: the verb alone says little ("Does she play …").
    `proper`: its values are names; "Did she join a choir?" is another question.
    """

    key: str
    forms: str
    things: str = ""
    asks: str = ""
    after: str = ""
    before_wh: str = ""
    began: str = ""
    ended: str = ""
    trail: str = ""
    needs_trail: bool = False
    kin: bool = False
    loose: bool = False
    proper: bool = False


VERBS: tuple[Verb, ...] = (
    Verb(
        "home_city",
        "live|lives|lived|living|reside|resides|resided|residing|based",
        things="city|cities|town|towns|place|places|part of the world",
        asks="where",
        after="in|at",
        before_wh="in",
        began="(?:move|moved|moving|relocate|relocated)(?: back)? (?:to|into)",
        ended="(?:leave|left|move away from|move out of)",
        proper=True,
    ),
    Verb("home_city", "staying at|settled|located", asks="where", after="in"),
    Verb("country", "from|come from|comes from", things="country"),
    Verb("speaks", "speak|speaks|speaking|spoke", things="(?:foreign )?languages?"),
    Verb(
        "hometown",
        "born|from|grow up|grew up|raised|come from|comes from",
        things="town|city|place",
        asks="where",
        after="in",
        before_wh="in",
    ),
    Verb(
        "job",
        "do|does|doing",
        asks="what",
        trail="for a living|for work|for a job|professionally|as a job",
        needs_trail=True,
    ),
    Verb(
        "job",
        "work|works|worked|working",
        things="job|profession|role|position",
        asks="what",
        after="as",
        before_wh="as",
        began="(?:become|became|start working as|started working as|start as|began working as)",
    ),
    Verb(
        "employer",
        "work|works|worked|working|employed",
        things="company|companies|firm|organisation|organization|employer|business",
        asks="where|who|whom",
        after="for|at|with|by",
        before_wh="for|at",
        began="(?:join|joined|start(?:ed)? (?:working )?(?:at|for|with)|start(?:ed)? (?:my|his|her|their) job at)",
        ended="(?:leave|left|(?:quit|leave|left|lose|lost) (?:my|his|her|their) job at|quit|"
        "resign from|stop(?:ped)? working (?:for|at))",
        proper=True,
    ),
    Verb(
        "car",
        "drive|drives|drove|driven|driving",
        things="(?:kind of |sort of |type of |make of )?cars?|vehicles?",
        asks="what",
    ),
    Verb(
        "commute",
        "(?:get|gets|got|getting|go|goes|going|travel|travels|commute|commutes) to (?:work|the office)",
        asks="how",
        after="by",
        trail="in the mornings?|every (?:day|morning)",
    ),
    Verb("commute", "commute|commutes|commuting", asks="how", after="by"),
    Verb("rent", "pay|pays|paid|paying", asks="how much rent", things="rent", trail="(?:per|a|every|each) month"),
    Verb(
        "rent",
        "pay|pays|paid|paying",
        asks="how much",
        trail="(?:for|in) rent(?: (?:per|a|every|each) month)?",
        needs_trail=True,
    ),
    Verb("school", "go to|goes to|going to|went to|attend|attends|attending", things="schools?", kin=True),
    Verb("school", "(?:go|goes|going|went) to school", asks="where", after="at", kin=True),
    Verb(
        "phone",
        "use|uses|used|using",
        things="(?:kind of |type of |mobile |cell )?phones?|mobile|smartphone",
        loose=True,
    ),
    Verb(
        "drink",
        "drink|drinks|drank|drinking",
        asks="what",
        trail="in the mornings?|for breakfast|first thing in the morning",
        needs_trail=True,
    ),
    Verb("instrument", "play|plays|played|playing", things="(?:musical )?instruments?", loose=True),
    Verb(
        "language",
        "learn|learns|learned|learnt|learning|study|studying|studies|studied|tried to learn|try to learn|"
        "trying to learn",
        things="(?:new |foreign )?languages?",
        began="start(?:ed)? (?:learning|studying)|begin learning",
        loose=True,
    ),
    Verb(
        "book",
        "read|reads|reading|been reading",
        things="books?|novels?",
        asks="what",
        loose=True,
        began="start(?:ed)? reading|begin reading",
        ended="finish(?:ed)?(?: reading)?",
    ),
    Verb(
        "series",
        "watch|watches|watching|watched",
        things="(?:tv |television )?(?:series|shows?)",
        asks="what",
        loose=True,
        began="start(?:ed)? watching",
        ended="finish(?:ed)?(?: watching)?",
    ),
    Verb(
        "food",
        "like|likes|liked|love|loves|prefer",
        things="(?:dish|food|meal)(?:es|s)?",
        trail="best|most|the most",
        needs_trail=True,
    ),
    Verb("allergy", "allergic", things="things?|foods?|food|stuff", asks="what", after="to", before_wh="to"),
    Verb(
        "hobby",
        "do|does",
        asks="what",
        trail="for fun|in (?:my|his|her|their) (?:free|spare) time|as a hobby",
        needs_trail=True,
    ),
    Verb(
        "injury",
        "deal|deals|dealing|suffer|suffers|suffering|recover|recovering",
        things="injury|injuries",
        asks="what",
        after="with|from",
    ),
    Verb(
        "trip",
        "(?:picked|pick|picks|chosen|choose|have in mind|has in mind|had in mind|planned|planning|have picked|"
        "go|going|travel|travelling) (?:for|on) (?:the|my|his|her|their) next (?:trip|holiday|vacation)",
        things="destination|place|city",
        asks="where",
    ),
    Verb(
        "volunteer",
        "volunteer|volunteers|volunteered|volunteering",
        things="place|organisation|organization",
        asks="where",
        after="at|with|for",
        began="start(?:ed)? volunteering (?:at|with|for)",
        ended="stop(?:ped)? volunteering (?:at|with|for)",
    ),
    Verb(
        "education",
        "study|studies|studied|studying|major|majored",
        things="subject|degree|field",
        asks="what",
        after="in",
        trail="at (?:university|college|uni|school)|in (?:university|college)",
    ),
    Verb(
        "university",
        "study|studies|studied|studying|graduate|graduated|go to|went to|attend|attended",
        things="university|college",
        asks="where",
        after="at|from",
        trail="university|college|uni|to university|to college|for college|for university",
        before_wh="from|at",
    ),
    Verb(
        "likes",
        "like|likes|liked|love|loves|enjoy|enjoys|prefer|prefers|fond of|into|interested in",
        asks="what",
        things=ANYTHING,
        trail="to (?:do|eat|drink|read|watch|play|wear|listen to)",
    ),
    Verb(
        "dislikes",
        "dislike|dislikes|disliked|hate|hates|hated|avoid|avoids|not like|not enjoy|can not stand",
        asks="what",
        things=ANYTHING,
        trail="to (?:do|eat|drink|read|watch|play|wear|listen to)",
    ),
    Verb("owns", "own|owns|owned", things=ANYTHING, asks="what"),
)


def favourite_key(thing: str) -> str:
    """The attribute of a favourite thing, however it is spelt: "colors" and "colour" give "favourite_colour"."""
    single = singular(_OUR.sub(r"\1our", thing.lower().replace("_", " ").replace("-", " ").replace("'", "")).strip())
    return FAVOURITES.get(single) or FAVOURITE + single.replace(" ", "_")


@functools.lru_cache(maxsize=4096)
def canonical(key: str) -> str:
    """The one key for all spellings of an attribute."""
    return favourite_key(key.removeprefix(FAVOURITE)) if key.startswith(FAVOURITE) else key


def singular(noun: str) -> str:
    """One of several; words that look like it but are none stay as they are."""
    if noun.endswith(("series", "movies", "species")):
        return noun.removesuffix("s") if noun.endswith("movies") else noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    if noun.endswith(("ches", "shes", "sses", "xes")):
        return noun[:-2]
    if noun.endswith("s") and not noun.endswith(("ss", "us", "is")):
        return noun[:-1]
    return noun
