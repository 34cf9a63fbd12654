"""Names and sentence frames of `chains`: at least six frames per relation, and none that gives a chain away.

In the conversational frames, no question shares a word other than stop words with the statement that answers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LAST = (
    "Abend Barlow Castor Dorn Eskola Fabre Garnet Halden Ibsen Jarvis Kestner Larkin Marlow Norden Osborn Pascoe "
    "Quill Rowan Sorel Tamm Ulmer Verne Wexler Yarrow Zeller Alder Brandt Corvin Drake Ellery "
    "Ackroyd Bellamy Crowther Dunne Everly Fairfax Grantham Holloway Ingram Jessop Keswick Lockhart Merriman Nugent "
    "Oakley Pemberton Radley Seddon Thorne Underhill Vickers Whitlock Yates Ashdown Birch Coates Devlin Eastman "
    "Fenwick Gresham"
).split()
STEMS = (
    "Halden Larkin Norden Rowan Verne Alder Corvin Drake Castor Garnet Meridian Bluefin Kestrel Juniper Cobalt Saffron "
    "Polaris Thistle Granite Willow Argent Ember Fathom Nimbus Larch Monsoon Solstice Beacon Harbour Summit"
).split()
TRADES = (
    "Optics Freight Textiles Foods Robotics Energy Travel Pharma Tools Airways Publishing Insurance Furniture Catering "
    "Turbines Maps Security Cosmetics Ceramics Paper"
).split()
ROOTS = (
    "Varley Osterholt Cadmere Brenta Wrenmoor Sandau Tolmin Pellworth Ravnik Lindoe Maristow Ketterby Ansfeld Dunmoor "
    "Elvane Fossano Gildern Hexley Ilmara Jorvale Korsund Lembach Morwen Nystal Orland"
).split()
FORMS = ("Mount {}", "Port {}", "{} Falls", "New {}", "{} Bay", "Upper {}")
MATERIALS = "amber bronze cedar copper felt glass ivory jade linen marble pewter slate velvet walnut willow".split()
THINGS = "bells bridges clocks combs dolls flutes fountains kites lanterns looms masks mirrors towers umbrellas".split()

WORKS = (
    "{p} works for {c}.",
    "{p} has been employed at {c} for eleven years.",
    "The payroll of {c} includes {p}, who looks after the accounts.",
    "After a long search {p} accepted a position with {c}.",
    "{p} earns a living as a planner at {c}.",
    "Among the engineers of {c} is {p}, hired straight from school.",
    "Colleagues at {c} describe {p} as patient.",
)
BASED = (
    "{c} is headquartered in {t}.",
    "The head office of {c} stands in {t}, beside the old mill.",
    "{c} runs its operations from a main building in {t}.",
    "Founded by two brothers, {c} has its seat in {t}.",
    "The directors of {c} meet in {t}, the seat of the firm.",
    "{t} is home to {c}, a business of middling size.",
    "{c} keeps its headquarters in {t} for tax reasons.",
)
KNOWN = (
    "{t} is known for its {k}.",
    "Visitors come to {t} to see the {k}.",
    "The {k} of {t} appear on every postcard.",
    "Nothing is as dear to the people of {t} as their {k}.",
    "For three centuries {t} has made {k}.",
    "A museum in {t} is devoted to {k}.",
    "The {k} that collectors hunt for come from {t}.",
)
STUDIED = (
    "{p} studied in {t}.",
    "Earlier, {p} spent four student years in {t}.",
    "The diploma of {p} was issued in {t}.",
    "{p} went to college in {t} and rowed there.",
    "Lectures in {t} gave {p} a taste for numbers.",
    "{p} still owns a scarf from the academy of {t}.",
)
FILLERS = {
    "person": (
        "Evenings are for chess and a pot of tea.",
        "A collection of city maps covers the kitchen wall.",
        "Two goats live behind the house.",
        "Friends praise the lentil soup above everything.",
        "There was once a column about head offices in the local paper, quickly forgotten.",
        "The bicycle in the hall has seen forty countries.",
        "On Sundays there is choir practice.",
    ),
    "company": (
        "The canteen is famous for its pancakes.",
        "Last year the workforce grew by a tenth.",
        "Its newest product took six years to develop.",
        "A works council was elected in spring.",
        "The logo shows a heron in flight.",
        "It sponsors a rowing team and a library.",
        "Many of those who work there come by train.",
    ),
    "city": (
        "Trams run until midnight.",
        "The river floods the lower streets every few years.",
        "Its market square is paved with dark stone.",
        "Several firms have moved their headquarters elsewhere.",
        "The winters are mild and the summers wet.",
        "A ring of orchards surrounds the old walls.",
        "Most people who work here were born here.",
    ),
}
ONE_HOP = {
    "works for": (
        "Which company does {s} work for?",
        "Who is the employer of {s}?",
        "Where is {s} employed?",
        "What is the name of the company that employs {s}?",
    ),
    "headquartered in": (
        "In which city is {s} headquartered?",
        "Where does {s} have its head office?",
        "Which city is the seat of {s}?",
        "Where is {s} based?",
    ),
    "known for": (
        "What is {s} known for?",
        "What do visitors come to {s} to see?",
        "Which products is {s} famous for?",
        "What is the speciality of {s}?",
    ),
}
TWO_HOP = (
    "In which city does the company that employs {s} have its headquarters?",
    "{s} works for a company; in which city is that company based?",
    "Where is the head office of the employer of {s}?",
    "Name the city with the main office of the firm that {s} works for.",
    "Which city hosts the headquarters of the business that {s} works at?",
    "What city would you visit to see the headquarters of the company of {s}?",
)
THREE_HOP = (
    "What is the city known for in which the employer of {s} has its headquarters?",
    "{s} works for a company; what is the city famous for that hosts its head office?",
    "What do visitors come to see in the city where the company of {s} is based?",
    "Which products come from the city that is home to the firm employing {s}?",
    "Name the speciality of the city in which the business that employs {s} has its seat.",
    "What is the pride of the city where the head office of the employer of {s} stands?",
)

SPEAKERS = ("Nora", "Piet", "Sven", "Thea")
CHATTER = (
    "The kettle is on, who wants some?",
    "It has not stopped raining since breakfast.",
    "I finally finished that crossword.",
    "Remind me to water the ferns.",
    "My train was late again, of course.",
    "There is still some pie in the fridge.",
    "The neighbours are drilling into the wall again.",
    "I slept terribly, the moon was so bright.",
    "Has anybody seen my reading glasses?",
    "That film yesterday was far too long.",
)


class Attribute(NamedTuple):
    """What is said of the bridge `x`: statements with the value `v`, and questions that name only `n`."""

    say: tuple[str, ...]
    ask: tuple[str, ...]
    values: tuple[str, ...]


class Tie(NamedTuple):
    """How a person `n` is tied to a bridge `x`, the bridges there are, and what may be said of them."""

    say: tuple[str, ...]
    bridges: tuple[str, ...]
    attributes: tuple[Attribute, ...]


def heads(titles: Sequence[str], surnames: Sequence[str]) -> tuple[str, ...]:
    """Every title with every surname."""
    return tuple(f"{title} {name}" for title in titles for name in surnames)


TIES = (
    Tie(
        (
            "{n} moved to {x} last week.",
            "{n} packed up the old flat and moved to {x}.",
            "Big news: {n} moved out and settled in {x}.",
            "The lorry was booked, so {n} moved everything over to {x}.",
            "{n} has moved again, to {x} this time.",
            "Guess who moved to {x}? {n}, cats and all.",
        ),
        tuple(f"{root}{end}" for root in ("Lind", "Brack", "Oster", "Hazel", "Mill")
              for end in ("wick", "holm", "ford")),
        (
            Attribute(
                (
                    "The mayor of {x} is {v}.",
                    "{x}'s mayor, {v}, opened the swimming pool.",
                    "{v} was elected mayor of {x} by a tiny majority.",
                    "They say that {v}, mayor of {x}, cycles everywhere.",
                    "In {x} the voters have chosen {v} as mayor.",
                    "Did you hear {v} on the radio, the mayor of {x}?",
                ),
                (
                    "Who runs the place that {n} moved to?",
                    "Which politician is in charge where {n} lives since moving?",
                    "Who leads the council of the town that {n} moved to?",
                ),
                heads(("Dr", "Ms", "Mr"), LAST[:12]),
            ),
            Attribute(
                (
                    "Bakers in {x} are proud of their {v}.",
                    "You cannot leave {x} without tasting {v}.",
                    "{x} means {v} to me, with plenty of butter.",
                    "At the fair in {x} everybody queues for {v}.",
                    "My aunt from {x} makes {v} every winter.",
                    "A box of {v} arrived from {x} this morning.",
                ),
                (
                    "Which local delicacy can {n} try after having moved?",
                    "What is the typical dish of the town {n} moved to?",
                    "What should {n} eat first in the new home, having moved?",
                ),
                tuple(f"{kind} {dish}" for kind in ("poppy", "rye", "quince", "almond", "plum", "fennel")
                      for dish in ("dumplings", "wafers", "pretzels")),
            ),
        ),
    ),
    Tie(
        (
            "{n} joined {x} in autumn.",
            "After years of hesitating, {n} joined {x}.",
            "{n} finally joined {x} and is thrilled.",
            "They let {n} audition, and so {n} joined {x}.",
            "Somebody talked {n} into it: {n} joined {x}.",
            "I hear that {n} joined {x} on a whim.",
        ),
        tuple(f"the {name} {kind}" for name in ("Larkhill", "Sable", "Cascade", "Tideway", "Ninepin")
              for kind in ("Singers", "Chorale", "Voices")),
        (
            Attribute(
                (
                    "{v} conducts {x}.",
                    "{x} have had {v} as conductor for a year.",
                    "With {v} conducting, {x} sound warmer.",
                    "The baton of {x} belongs to {v}.",
                    "{v} waved the arms in front of {x} until midnight.",
                    "Critics wrote that {v} drills {x} too hard.",
                ),
                (
                    "Who leads the group that {n} joined?",
                    "Who is in charge of the choir {n} joined?",
                    "Whose instructions does {n} follow since having joined?",
                ),
                heads(("Maestra", "Maestro", "Professor"), LAST[12:24]),
            ),
            Attribute(
                (
                    "{x} rehearse in the {v}.",
                    "The {v} was full of noise, {x} had their Tuesday.",
                    "From the {v} you could hear {x} warming up.",
                    "{x} store their chairs in the {v}.",
                    "They heated the {v} so that {x} would not freeze.",
                    "The key of the {v} is kept by {x}.",
                ),
                (
                    "In which building does {n} practise since having joined?",
                    "Where does the choir meet that {n} joined?",
                    "What is the address for picking up {n} after choir, having joined?",
                ),
                tuple(f"{what} {where}" for what in ("brewery", "customs", "seamen's", "tram", "gardeners'", "grain")
                      for where in ("cellar", "attic", "shed")),
            ),
        ),
    ),
    Tie(
        (
            "{n} bought a share in the {x}.",
            "{n} sold the caravan and bought into the {x}.",
            "With the inheritance {n} bought half of the {x}.",
            "Nobody believed it, yet {n} bought the {x}.",
            "{n} bought the {x} at auction.",
            "It is official, {n} bought the {x} from a stranger.",
        ),
        tuple(f"{adjective} {bird}" for adjective in ("Grey", "Silent", "Northern", "Lucky", "Painted")
              for bird in ("Heron", "Curlew", "Gannet")),
        (
            Attribute(
                (
                    "The {x} lies at {v}.",
                    "{v} is where the {x} spends the winter.",
                    "We saw the {x} tied up at {v}.",
                    "They towed the {x} to {v}.",
                    "A storm drove the {x} back to {v}.",
                    "At {v} the {x} takes up two berths.",
                ),
                (
                    "In which harbour is the boat that {n} bought?",
                    "Where would one look for the boat {n} bought?",
                    "Which jetty leads to what {n} bought?",
                ),
                tuple(f"{name} {kind}" for name in ("Dunvar", "Kelso", "Marram", "Tarn", "Selkie", "Fennick")
                      for kind in ("Quay", "Pier", "Wharf")),
            ),
            Attribute(
                (
                    "{v} steers the {x} in bad weather.",
                    "The skipper of the {x} is {v}.",
                    "{v} has sailed the {x} around the cape twice.",
                    "At the wheel of the {x} stood {v}.",
                    "Nobody knows the {x} like {v}, its skipper.",
                    "They hired {v} to sail the {x}.",
                ),
                (
                    "Who commands the boat that {n} bought?",
                    "Which captain works on what {n} bought?",
                    "Whom should {n} phone about crewing, having bought it?",
                ),
                heads(("Old", "Young", "Big"), LAST[24:42]),
            ),
        ),
    ),
)  # fmt: skip
ASIDES = (
    "{n} brought plum cake to the office.",
    "{n} has a cold again.",
    "I ran into {n} at the dentist.",
    "{n} is reading a book about glaciers.",
    "{n} asked whether we are coming on Friday.",
    "{n} laughs like a door.",
    "{n} painted the fence green.",
)

OLD_NAMES = (
    "Falcon Otter Badger Lynx Ibex Marten Puffin Stoat Raven Walrus Osprey Gopher Bison Condor Jackal Tapir Cobra "
    "Mantis Beaver Gibbon"
).split()
NEW_NAMES = (
    "Larkspur Foxglove Primrose Yarrow Tansy Borage Lupin Sorrel Hyssop Teasel Campion Bryony Comfrey Mallow Speedwell "
    "Burdock Valerian Chicory Clover Anemone"
).split()
RENAMINGS = (
    "{x} is called {n} from today.",
    "Please stop saying {x}, the name is {n} now.",
    "Marketing has renamed {x}: it is {n} on all slides.",
    "What used to be {x} goes by {n} from this week on.",
    "New badge, same team: {x} became {n}.",
    "The lawyers objected to {x}, hence {n}.",
)
TOPIC_ATTRIBUTES = (
    Attribute(
        (
            "{x} has a budget of {v}.",
            "They granted {v} to {x}.",
            "The board approved {v} for {x}.",
            "{v}, that is what {x} gets this year.",
            "Finance put {x} down for {v}.",
            "In the plan {x} stands at {v}.",
        ),
        ("How much money may {n} spend?", "What amount is available for {n}?", "How rich is {n}?"),
        tuple(f"{thousand},000 euros" for thousand in range(21, 99, 3)),
    ),
    Attribute(
        (
            "{v} leads {x}.",
            "{x} is in the hands of {v}.",
            "They made {v} head of {x}.",
            "{v} took over {x} in January.",
            "Ask {v}, who runs {x}.",
            "{v} answers to the board for {x}.",
        ),
        ("Who is the manager of {n}?", "Which person is responsible for {n}?", "Who is the boss at {n}?"),
        heads(("Dr", "Engineer"), LAST[:15]),
    ),
    Attribute(
        (
            "{x} must be finished by {v}.",
            "The last day for {x} is {v}.",
            "{v} is the date that the customer wants {x}.",
            "Everything in {x} aims at {v}.",
            "{x} ships on {v}.",
            "We promised {x} for {v}.",
        ),
        ("When is the deadline of {n}?", "What is the due time of {n}?", "Until when can {n} be delayed?"),
        tuple(f"{day} {month}" for month in ("March", "June", "October") for day in range(3, 28, 3)),
    ),
    Attribute(
        (
            "{x} gets its parts from {v}.",
            "{v} delivers the casings for {x}.",
            "The screws in {x} come from {v}.",
            "{x} depends on {v} for valves.",
            "{v} sent the pumps for {x}.",
            "A crate from {v} arrived for {x}.",
        ),
        ("Which supplier does {n} use?", "What vendor works with {n}?", "Whose invoices does {n} pay?"),
        tuple(f"{stem} {kind}" for stem in STEMS[:14] for kind in ("Forge", "Brothers")),
    ),
)  # fmt: skip


class Deed(NamedTuple):
    """What the speaker did with a thing `x` and a person `o`: as said, as a proposition of `s`, as a clause."""

    say: tuple[str, ...]
    proposition: str
    clause: str


DEEDS = (
    Deed(
        (
            "I lent {o} the {x}.",
            "{o} begged until I lent out the {x}.",
            "I lent the {x} to {o}, against my better judgement.",
            "The {x} is gone, I lent it to {o}.",
            "So I lent {o} the {x} for a month.",
            "{o} rang, and I lent the {x} without asking why.",
        ),
        "{s} lent the {x} to {o}.",
        "{s} lent to {o}",
    ),
    Deed(
        (
            "I bought the {x} from {o}.",
            "{o} needed cash, so I bought the {x}.",
            "Look, I bought that {x} off {o}.",
            "I bought the {x}, {o} threw in the delivery.",
            "You know {o}? I bought the {x} there.",
            "I finally bought the {x} that {o} was selling.",
        ),
        "{s} bought the {x} from {o}.",
        "{s} bought from {o}",
    ),
    Deed(
        (
            "I promised {o} the {x}.",
            "The {x} is spoken for, I promised it to {o}.",
            "I promised the {x} to {o} years ago.",
            "{o} will be glad, I promised the {x}.",
            "Long ago I promised {o} the {x}.",
            "I promised that {o} may have the {x} one day.",
        ),
        "{s} promised the {x} to {o}.",
        "{s} promised to {o}",
    ),
)
COLOURS = "striped crimson turquoise dented mustard ivory speckled violet oval folding brass tartan".split()
OBJECTS = "canoe armchair accordion telescope sledge trunk loom lantern samovar easel globe cello tent barrow".split()
STATES = (
    Attribute(
        (
            "The {x} stands in the {v}.",
            "Somebody pushed the {x} into the {v}.",
            "I tripped over the {x} in the {v}.",
            "Under a sheet in the {v} was the {x}.",
            "The {v} smells of polish because of the {x}.",
            "We carried the {x} to the {v}.",
        ),
        ("Where is the thing that {c}?", "In which place would one find what {c}?"),
        tuple(f"{what} {room}" for what in ("boiler", "tool", "music", "rear", "guest", "herb", "storage", "lower")
              for room in ("room", "cabin", "garage", "stable")),
    ),
    Attribute(
        (
            "The {x} was made by {v}.",
            "{v} built the {x} by hand.",
            "Under the {x} there is the stamp of {v}.",
            "Only {v} could have made the {x}.",
            "The {x} has the signature of {v}.",
            "They say that {v} made the {x} in a single winter.",
        ),
        ("Who is the craftsman behind the thing that {c}?", "Which artisan produced what {c}?"),
        heads(("Master", "Widow"), LAST[8:24]),
    ),
    Attribute(
        (
            "The {x} has a {v}.",
            "A {v} spoils the {x}.",
            "I noticed a {v} on the {x}.",
            "The only trouble with the {x} is a {v}.",
            "Because of a {v} the {x} is out of use.",
            "The {x} fell down, and now there is a {v}.",
        ),
        ("What is the damage to the thing that {c}?", "What needs repairing on what {c}?"),
        tuple(f"{how} {part}" for how in ("cracked", "loose", "rusty", "missing", "bent", "charred", "mouldy", "torn")
              for part in ("handle", "hinge", "strap", "rivet")),
    ),
    Attribute(
        (
            "A dealer offered {v} for the {x}.",
            "The {x} was appraised at {v}.",
            "In the catalogue the {x} is listed at {v}.",
            "{v}, imagine, for the {x}!",
            "The insurance puts the {x} at {v}.",
            "They would give {v} for the {x}.",
        ),
        ("How much is the thing worth that {c}?", "What is the value of what {c}?"),
        tuple(f"{amount} crowns" for amount in range(130, 900, 23)),
    ),
)  # fmt: skip
SMALL_NEWS = (
    ("I signed up for pottery.", "{s} signed up for pottery.", "pottery"),
    ("I have a toothache.", "{s} has a toothache.", "toothache"),
    ("My sister started evening classes.", "The sister of {s} started evening classes.", "evening classes"),
    ("I am growing radishes again.", "{s} is growing radishes again.", "radishes"),
    ("My bus was late.", "The bus of {s} was late.", "bus"),
    ("I slept badly because of the moon.", "{s} slept badly because of the moon.", "moon"),
    ("I ran eight kilometres.", "{s} ran eight kilometres.", "eight kilometres"),
    ("I burnt the rice.", "{s} burnt the rice.", "rice"),
    ("My cousin sends postcards from Malta.", "The cousin of {s} sends postcards from Malta.", "Malta"),
    ("I dropped my phone in the bath.", "{s} dropped a phone in the bath.", "phone"),
    ("I am learning the waltz.", "{s} is learning the waltz.", "waltz"),
    ("I painted the hallway yellow.", "{s} painted the hallway yellow.", "hallway"),
    ("My dentist retired.", "The dentist of {s} retired.", "dentist"),
    ("I saw a kingfisher.", "{s} saw a kingfisher.", "kingfisher"),
)
