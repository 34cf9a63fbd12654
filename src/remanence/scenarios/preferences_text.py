"""What people in `preferences` avoid and how they say it, dishes and places, and the procedures of a team.

Wordings come in threes: "easy" uses the word that menus and questions use, "medium" another word for it, "hard" a
description of it.
"""

from __future__ import annotations

from typing import NamedTuple

DIETS: dict[str, tuple[str, str, str]] = {
    "vegetarian": (
        "vegetarian",
        "off meat and fish",
        "eating nothing that ever had a face, though cheese is fine",
    ),
    "vegan": (
        "vegan",
        "off all animal products",
        "living on plants alone, not even honey passes my lips",
    ),
    "pescatarian": (
        "pescatarian",
        "off meat, though not off fish",
        "leaving alone what walks or flies, while what swims is welcome",
    ),
    "porkless": (
        "eating no pork",
        "off pigs, everything else is fine",
        "staying away from what oinks, the rest of the farm is welcome",
    ),
}
FORBIDDEN: dict[str, frozenset[str]] = {
    "vegetarian": frozenset({"meat", "pork", "fish"}),
    "vegan": frozenset({"meat", "pork", "fish", "dairy"}),
    "pescatarian": frozenset({"meat", "pork"}),
    "porkless": frozenset({"pork"}),
}
"""Kinds of dishes that a diet rules out."""
DISHES: dict[str, tuple[str, ...]] = {
    "meat": ("beef stew", "lamb kebab", "roast chicken", "venison ragout", "duck breast", "veal schnitzel"),
    "pork": ("pork belly", "bacon pasta", "ham gratin", "pulled pork buns"),
    "fish": ("grilled mackerel", "baked cod", "smoked trout", "herring salad", "salmon skewers"),
    "dairy": ("cheese fondue", "ricotta lasagne", "halloumi burgers", "cream gnocchi"),
    "plant": ("lentil curry", "bean chilli", "chickpea tagine", "pumpkin soup", "cabbage rolls", "polenta slices"),
}
ALLERGENS: dict[str, tuple[str, str, str]] = {
    "peanuts": ("peanuts", "groundnuts", "the stuff that satay sauce is made of"),
    "prawns": ("prawns", "shellfish", "anything from the sea that has legs"),
    "sesame": ("sesame", "tahini and what it is made of", "the small seeds on burger buns"),
    "mustard": ("mustard", "the yellow condiment", "the paste that comes with every sausage"),
    "walnuts": ("walnuts", "tree nuts", "what squirrels bury for the winter"),
    "celery": ("celery", "soup greens", "the pale stalks in a bloody mary"),
    "soy": ("soy", "tofu and the like", "what tofu is pressed from"),
    "lupin": ("lupin", "the flour made of a garden flower", "that blue garden flower, as flour"),
}
TASTES: dict[str, tuple[str, str, str]] = {
    "coriander": ("coriander", "cilantro", "the green herb that tastes of soap"),
    "olives": ("olives", "the oily fruit of Greece", "the pitted things on a martini stick"),
    "mushrooms": ("mushrooms", "fungi", "what people gather in damp woods in autumn"),
    "aubergine": ("aubergine", "eggplant", "the purple vegetable shaped like a club"),
    "beetroot": ("beetroot", "red beet", "what turns borscht that colour"),
    "capers": ("capers", "pickled flower buds", "the little green buds from a jar"),
    "raisins": ("raisins", "dried grapes", "the wrinkled bits in a fruit loaf"),
    "fennel": ("fennel", "the aniseed bulb", "the white bulb that smells of liquorice"),
}
PLAIN_GARNISHES = (
    "parsley", "roast carrots", "lemon rice", "spinach", "sweetcorn", "green beans", "radishes", "potato wedges",
    "cucumber", "peas", "braised leeks", "white rice",
)  # fmt: skip
PLACES: dict[str, tuple[tuple[str, str, str], str, tuple[str, ...]]] = {
    "stairs": (
        ("I cannot climb stairs.", "Steps are out of the question for me.", "They gave me a new knee in spring."),
        "My leg has healed, stairs are fine again.",
        ("up four flights of stairs", "down a steep cellar stair", "on a roof without a lift"),
    ),
    "music": (
        ("I cannot stand loud music.", "Noise gives me a migraine.", "My ears have been ringing since that accident."),
        "My hearing has settled, loud music is fine again.",
        ("beside a brass band", "with live drums", "under the loudspeakers of a disco"),
    ),
    "smoke": (
        ("I cannot bear smoke.", "Cigarettes make my asthma worse.", "My lungs whistle at the faintest whiff of ash."),
        "My lungs are well, smoke is fine again.",
        ("on a smokers' terrace", "in a cigar lounge", "at tables full of ashtrays"),
    ),
    "dog": (
        ("I always bring my dog.", "Wherever I go, my terrier goes.", "Biscuit sleeps at my feet in every restaurant."),
        "My dog lives with my sister now, I come alone.",
        ("where animals must stay outside", "with a sign that says no pets", "in a hall closed to four-legged guests"),
    ),
}
"""Per hindrance: how it is said at each level, how it ends, and descriptions of places that have it."""
PLAIN_PLACES = ("by the canal", "near the park", "behind the theatre", "at the old mill", "on Station Road", "downtown")

SAY: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "diet": (
        ("My diet: I am {v}.", "For every dinner, remember that I am {v}.", "I am {v}, that is my diet."),
        ("I have been {v} for a while.", "Since January I am {v}.", "Cooking for me is easy, I am {v}."),
        ("These days you find me {v}.", "My sister laughs at me for {v}.", "I feel much better {v}."),
    ),
    "allergy": (
        ("I am allergic to {v}.", "My allergy is to {v}.", "No dinner with {v} for me, I am allergic."),
        ("My doctor forbids me {v}.", "From {v} I get a rash.", "I must not touch {v}, says the specialist."),
        (
            "My throat closes up from {v}.",
            "The ambulance came once because of {v}.",
            "I carry a syringe, all because of {v}.",
        ),
    ),
    "taste": (
        ("I do not like {v}.", "I dislike {v} in any dinner.", "What I do not like is {v}."),
        ("I cannot stand {v}.", "You will not catch me eating {v}.", "I pick out {v} with a fork."),
        ("As a child I fed it all to the cat: {v}.", "Please spare me {v}.", "I shudder at {v}."),
    ),
    "budget": (
        ("My budget for a dinner is {v} euros.", "{v} euros is my budget for dinner.", "Dinner budget: {v} euros."),
        ("I can spend {v} euros at most when we go out.", "More than {v} euros a head is too much for me."),
        ("Past {w} my wallet goes on strike.", "I leave the house with {w} in my pocket, not a coin more."),
    ),
    "place": (("{v}",), ("{v}",), ("{v}",)),
}
CHANGE: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "diet": (
        ("My diet has changed: I am {v} now.", "Not {old} any more, now I am {v}."),
        ("From this month on I am {v}.", "I gave up my old rules and am {v} now."),
        ("New year, new plate: I am {v}.", "The clinic had a word with me, so now I am {v}."),
    ),
    "budget": (
        ("My budget for a dinner has changed to {v} euros.", "Dinner budget, corrected: {v} euros."),
        ("From now on I can spend {v} euros at most.", "Make that {v} euros a head at most."),
        ("The pay slip came, so from now on {w} it is.", "After the tax bill, {w} is where I stop."),
    ),
}
END: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "allergy": (
        ("I am not allergic to {v} any more.", "The allergy to {v} is gone."),
        ("The new test says that I may have {v}.", "My doctor allows me {v} again."),
        ("The clinic had mixed up the samples: {v}, no problem at all.", "I threw the syringe away, {v} is harmless."),
    ),
    "taste": (
        ("I like {v} now.", "I do not dislike {v} any more."),
        ("I have come round to {v}.", "I can eat {v} by now."),
        ("Who would have thought, I asked for seconds: {v}.", "My palate grew up, hand me {v}."),
    ),
    "place": (("{v}",), ("{v}",), ("{v}",)),
}
NEAR = (
    "My cousin is allergic to {allergen}, such a nuisance.",
    "My neighbour likes {taste} with everything.",
    "We had {dish} with {garnish} yesterday, {price} euros.",
    "The {dish} at the new place costs {price} euros.",
    "If I were {diet}, which dinner would I order?",
    "They opened a restaurant {place}.",
    "A friend of mine is {diet} and never stops talking about it.",
    "Somebody spilled {garnish} on my coat at dinner.",
    "I read that {allergen} suits almost everybody.",
    "The guests at table four wanted {dish} with {taste}.",
    "{price} euros for {dish}, can you believe it?",
    "My aunt never goes anywhere {place}.",
)
CHATTER = (
    "The tram was full again.", "I still owe you that book.", "Have you seen the new bridge?", "It rained all Sunday.",
    "My plants are finally growing.", "We watched the match at my place.", "The printer is broken, as usual.",
    "I slept until ten.", "They are painting our stairwell.", "The library has new chairs.", "My phone died at noon.",
    "I lost at chess, twice.", "Summer cannot come soon enough.", "There is a fair next week.",
)  # fmt: skip
ASK = (
    (
        "Given diet, allergy, budget and what {n} does not like: which dinner fits {n}?",
        "Which dinner suits the diet, the allergy and the budget of {n}?",
    ),
    ("Which of these dinners suits {n}?", "We are taking {n} out for dinner; which one works?"),
    ("Where shall we take {n}?", "Which table should be reserved for {n}?"),
)
ASK_THEN = (
    ("Given diet, allergy and budget on {t}: which dinner fitted {n} then?",),
    ("Which of these dinners would have suited {n} on {t}?",),
    ("Where could {n} have been taken on {t}?",),
)
NUMBERS = {
    15: "fifteen", 20: "twenty", 25: "twenty-five", 30: "thirty", 35: "thirty-five", 40: "forty", 45: "forty-five",
    50: "fifty", 55: "fifty-five", 60: "sixty",
}  # fmt: skip


class Work(NamedTuple):
    """A procedure: how it is called and asked for by level, its steps in order ("we …"), and steps that may come."""

    key: str
    ask: tuple[str, str, str]
    steps: tuple[str, ...]
    spares: tuple[str, ...]


WORKS = (
    Work(
        "deploy",
        (
            "How do we deploy, which steps are there in the procedure?",
            "What are the steps to deploy?",
            "How does a new version reach the customers?",
        ),
        ("freeze the branch", "run the smoke checks", "tag the release", "copy the bundle over", "restart the workers"),
        ("warm up the cache", "sign the bundle", "page the person on call"),
    ),
    Work(
        "closing",
        (
            "How do we close the shop, which steps are there in the procedure?",
            "What are the steps to close the shop?",
            "What happens every evening before everybody goes home?",
        ),
        ("count the till", "lock the back entrance", "empty the bins", "switch the ovens off", "set the alarm"),
        ("wipe the counters", "roll the awning in", "write the tally on the board"),
    ),
    Work(
        "newcomer",
        (
            "How do we onboard a newcomer, which steps are there in the procedure?",
            "What are the steps to onboard a newcomer?",
            "What is arranged when somebody joins the team?",
        ),
        ("order a laptop", "print the badge", "open the accounts", "show the fire exits", "assign a buddy"),
        ("book a lunch", "hand over the handbook", "take a photograph"),
    ),
    Work(
        "backup",
        (
            "How do we restore a backup, which steps are there in the procedure?",
            "What are the steps to restore a backup?",
            "What is to be done when the database has gone up in flames?",
        ),
        ("stop all writers", "fetch the archive", "verify the checksum", "replay the log", "open the gates again"),
        ("mount the spare disk", "tell the auditors", "compare the row counts"),
    ),
)
FIRST_STEP = (
    ("The {key} procedure, step one: we {b}.", "The {key} procedure, at the beginning: we {b}."),
    ("For {key}, we begin as follows: we {b}.", "Everything in {key} starts when we {b}."),
    ("Nothing else happens until we {b}.", "The very beginning is that we {b}."),
)
NEXT_STEP = (
    ("In {key}, the next step after we {a}: we {b}.", "The {key} procedure, next: after we {a}, we {b}."),
    ("Once we {a}, we {b}.", "As soon as we {a}, we {b}.", "We {b} right after we {a}."),
    ("When we {a}, it is time that we {b}.", "Only when we {a} do we {b}.", "We {b}, but not before we {a}."),
)
REPLACED = (
    ("The {key} procedure has changed: we no longer {old}, in that step we {new}.",),
    ("We do not {old} any more; instead we {new}.",),
    ("Forget that we {old}: in its place we {new}.",),
)
INSERTED = (
    ("The {key} procedure has a new step: right after we {a}, we {new}.",),
    ("There is one more thing now: right after we {a}, we {new}.",),
    ("Since the mishap we {new} directly when we {a}.",),
)
DROPPED = (
    ("The {key} procedure has lost a step: we no longer {old}.",),
    ("We have stopped: we do not {old} any more.",),
    ("Nobody needs that we {old}; that is history.",),
)
