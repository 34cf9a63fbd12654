"""Word lists of the extractor: kin, animals, endings of trades, and words that look like names and are none."""

from __future__ import annotations

import re

from remanence.kernels.languages import NEVER_NAMES

KIN: dict[str, str] = {
    "partner": "partner", "girlfriend": "partner", "boyfriend": "partner", "wife": "partner", "husband": "partner",
    "fiancé": "partner", "fiancée": "partner", "fiance": "partner", "fiancee": "partner", "spouse": "partner",
    "sister": "sister", "brother": "brother", "sis": "sister", "bro": "brother", "mother": "mother", "mom": "mother",
    "mum": "mother", "mama": "mother", "father": "father", "dad": "father", "son": "son", "daughter": "daughter",
    "child": "child", "kid": "child", "friend": "friend", "buddy": "friend", "pal": "friend", "best friend": "friend",
    "boss": "boss", "manager": "boss", "flatmate": "flatmate", "roommate": "flatmate", "housemate": "flatmate",
    "colleague": "colleague", "coworker": "colleague", "co-worker": "colleague", "cousin": "cousin", "aunt": "aunt",
    "uncle": "uncle", "niece": "niece", "nephew": "nephew", "grandmother": "grandmother", "grandma": "grandmother",
    "gran": "grandmother", "grandfather": "grandfather", "grandpa": "grandfather", "neighbour": "neighbour",
    "neighbor": "neighbour", "coach": "coach", "teacher": "teacher", "landlord": "landlord", "landlady": "landlord",
    "client": "client", "doctor": "doctor",
}  # fmt: skip
"""Words for people by the attribute that relates them."""

_IN_LAW = tuple(f"{word}-in-law" for word in ("sister", "brother", "mother", "father", "son", "daughter"))
_KIN_WORDS = (*_IN_LAW, "in-laws", "parents", "grandparents", "stepmother", "stepfather", "stepsister", "stepbrother",
              "ex", "ex-wife", "ex-husband", *KIN)  # fmt: skip
KIN_RE = "(?:" + "|".join(sorted(map(re.escape, _KIN_WORDS), key=len, reverse=True)) + ")"
"""Any word for a relative or acquaintance, as a pattern."""

ANIMALS = frozenset(
    """
    tortoise turtle parrot beagle cat rabbit bunny chihuahua tomcat spaniel gecko dalmatian hamster labrador lab ferret
    kitten kitty puppy pup sheepdog terrier cockatiel snake hedgehog poodle greyhound budgie dachshund whippet canary
    raven rat husky collie mastiff goldfish pug finch lizard setter malamute pony duck chinchilla bulldog hen mouse
    donkey parakeet iguana frog shepherd dog doggo horse fish bird chicken goat pig sheep cow retriever corgi boxer
    rottweiler doberman shiba akita pomeranian schnauzer maltese shihtzu bichon mutt hound pitbull siamese persian
    ragdoll tabby calico sphynx python boa axolotl salamander toad crab spider tarantula gerbil guinea crow pigeon dove
    macaw cockatoo lovebird betta llama alpaca ferret retrievers dogs cats
    """.split()
)
ANIMAL_RE = "(?:guinea pig|" + "|".join(sorted(ANIMALS, key=len, reverse=True)) + ")"

TRADES = frozenset(
    """
    nurse midwife clerk locksmith chef cook paramedic guide merchant actuary pilot agent attendant assistant accountant
    consultant judge intern apprentice surgeon veterinarian vet lawyer physician psychologist receptionist secretary
    barista cashier lifeguard bodyguard soldier sergeant detective policeman policewoman fireman firewoman salesman
    saleswoman handyman craftsman janitor plumber tailor jeweller goldsmith blacksmith au-pair nanny maid model dj
    freelancer ceo cto cfo vp professor scientist dentist architect butcher mechanic technician electrician politician
    diplomat therapist tutor trainee concierge steward stewardess waitress actress hostess seamstress shepherd fisherman
    postman postwoman welder athlete astronaut priest nun monk imam rabbi pastor
    """.split()
)
_NO_TRADES = frozenset(
    """
    lover believer member mother father sister brother beginner fighter supporter stranger winner vegetarian pescatarian
    christian minor perfectionist optimist pessimist gamer foodie loner number other survivor procrastinator newcomer
    owner dreamer better volunteer neighbor person fan disaster monster loser liar quitter hoarder follower starter
    sucker sinner character cancer computer paper water letter order matter corner color favor flavor error mirror
    listener learner thinker bigger smaller reminder regular keeper breadwinner leader sweater shower power tower buyer
    customer passenger visitor rather motor elder younger older hiker climber swimmer runner biker reader sleeper smoker
    drinker eater riser giver helper traveler traveller camper twin californian bostonian canadian american european
    italian brazilian russian australian asian african humanist feminist cyclist nihilist atheist calvinist buddhist
    socialist capitalist activist player over never under after
    """.split()
)
_TRADE_END = re.compile(r"(?:[a-z]{2}(?:er|or|ist|ian|eer|yst)|man|woman|ographer|ologist)$")


def is_trade(phrase: str) -> bool:
    """Whether the phrase ends like the name of a trade: "court interpreter", but not "huge fan"."""
    last = phrase.lower().split()[-1]
    return last in TRADES or (last not in _NO_TRADES and _TRADE_END.search(last) is not None)


CONDITIONS = tuple(
    "asthma diabetes adhd ADHD anxiety depression arthritis epilepsy migraines insomnia anemia anaemia hypertension "
    "psoriasis eczema celiac coeliac fibromyalgia tinnitus dyslexia autism scoliosis".split()
)
FAITHS = tuple(
    "Christian Buddhist Muslim Jewish Hindu Catholic Protestant atheist agnostic Sikh Mormon Quaker Lutheran Baptist "
    "Methodist Orthodox".split()
)
DEMONYMS = tuple(
    "American British English Scottish Welsh Irish French German Swiss Austrian Italian Spanish Portuguese Dutch "
    "Belgian Danish Swedish Norwegian Finnish Icelandic Polish Czech Slovak Hungarian Romanian Bulgarian Greek Turkish "
    "Russian Ukrainian Serbian Croatian Indian Pakistani Chinese Japanese Korean Vietnamese Thai Indonesian Filipino "
    "Australian Canadian Mexican Brazilian Argentinian Chilean Colombian Peruvian Egyptian Moroccan Nigerian Kenyan "
    "Ethiopian Iranian Iraqi Israeli Lebanese Syrian".split()
)

NOT_PEOPLE = NEVER_NAMES | frozenset(
    """
    everyone everybody nobody anybody somebody someone anyone people actually well anyway guess news right listen
    honestly okay alarm boxes goodbye heated another turns good bad best new old keep forget hang wait nothing
    everything something one two three most many several half both such first last next then there here what which
    who mine yours hers ours two men only even just still also maybe perhaps sometimes usually lately recently today
    yesterday tomorrow tonight mornings mondays dad mom mum mother father grandma grandpa congrats congratulations
    totally definitely absolutely sure super really wow cool awesome great nice amazing sounds glad happy thanks hope
    hopefully unfortunately luckily finally meanwhile besides however although because since when while after before if
    until once nope yep god jesus lol plus including especially time life work home music art love family friends
    hes shes theyre im ive dont its thats currently previously originally basically apparently obviously seriously
    literally wait dude man bro girl guys
    kids pets dogs cats books movies thank bye hello hey hi ugh hm hmm oh ah um uh currently previously originally
    basically apparently obviously seriously literally dude man bro girl
    """.split()
)
"""Words that open sentences with a capital and are nobody's name (lower case)."""
