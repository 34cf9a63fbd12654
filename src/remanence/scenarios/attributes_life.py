"""Whom people live with and know, how their bodies fare, where they are bound."""

from __future__ import annotations

from remanence.scenarios.phrases import Attribute

LIFE = (
    Attribute(
        key="pet",
        pool="pet",
        label="pet",
        ask=("What is the name of your pet, {A}?", "{A}, what is your pet called?"),
        say=(
            (
                "{P} pet is {ax}, called by the name of {v}.",
                "{S} [have|has] a pet, {ax} called {v}, what a name.",
            ),
            ("{S} [have|has] {ax} called {v}.", "{S} adopted {ax}; {v} is a good name, no?"),
            (
                "{v} chewed through {pn} headphones. Never trust {ax}.",
                "{S} spent the night at the vet with {v}, the {x} swallowed a sock.",
                "The {x} has claimed {pn} pillow, and nobody argues with {v}.",
            ),
        ),
        change=(
            (
                "{S} [have|has] a new pet since {w}, {ax} called {v}, nice name; {old} is gone.",
                "{P} pet is now {ax} called {v}, so the name is not {old}.",
            ),
            ("{S} adopted {ax} {w}, called {v}. {old} lives with {p} aunt now.",),
            (
                "The house was so quiet without {old}, so {S} came home with {ax} {w}. Say hello to {v}!",
                "After {old} passed away {s} swore never again, and yet there is {v}, {ax}, snoring on the sofa.",
            ),
        ),
        end=(
            ("{S} no longer [have|has] a pet, {old} was given away {w}.",),
            ("{S} had to give {old} away {w}.",),
            ("{P} aunt took {old} in {w}, the lease forbids animals. The flat feels empty.",),
        ),
        tease=(
            "If {S} had another pet, {p} name for it would be {v}.",
            "{S} [look|looks] after a pet called {v} this week, a guest with a silly name.",
            "The pet {S} had as a child was called {v}, a name {p} brother picked.",
        ),
        gossip=(
            "My landlady has a pet called {v}, she asked what [your|{n}'s] pet is called.",
            "What a name for a pet: at the vet's they called out {v}, I thought of [you|{n}].",
        ),
        now=("What is the name of {n}'s pet?", "What is {n}'s pet called?"),
        then=("What was the name of {n}'s pet on {t}?",),
        before=("What was the name of {n}'s pet before {v}?",),
        still=("Is {v} still {n}'s pet?",),
    ),
    Attribute(
        key="run_time",
        pool="time",
        trend=-1,
        label="best time over ten kilometres",
        ask=(
            "What is your best time over ten kilometres, {A}?",
            "{A}, what is your best time over ten kilometres now?",
        ),
        say=(
            ("{P} best time over ten kilometres is {v}.", "Over ten kilometres {p} best time is {v}, not bad."),
            ("{S} ran ten kilometres in {v}.", "{P} best is {v}, on a flat course."),
            (
                "{v} on the watch at the finish line, and then {S} was sick behind a hedge.",
                "The certificate above {pn} desk says {v}, framed and all.",
            ),
        ),
        change=(
            (
                "{P} best time over ten kilometres is {v} now, not {old}.",
                "New best time over ten kilometres {w}: {v}.",
            ),
            ("{S} ran {v} {w}, faster than the old {old}.", "{old} is history, {S} ran {v}."),
            (
                "The frame above the desk needs a new certificate: {v}! {S} cried at the finish {w}.",
                "The legs were made of jelly, but the clock said {v} {w}, and {S} hugged a stranger.",
            ),
        ),
        tease=(
            "{P} dream is a time of {v} over ten kilometres, that would be the best time ever.",
            "The app says {pn} best time over ten kilometres could be {v}. Sure.",
        ),
        gossip=(
            "My physio's best time over ten kilometres is {v}, [you|{n}] would be jealous.",
            "The best time over ten kilometres in our club is {v}, [you|{n}] could try.",
        ),
        now=("What is {n}'s best time over ten kilometres?",),
        then=("What was {n}'s best time over ten kilometres on {t}?",),
        before=("What was {n}'s best time over ten kilometres before {v}?",),
        speakers_only=True,
    ),
    Attribute(
        key="injury",
        pool="injury",
        label="injury",
        article="a",
        ask=("Which injury are you dealing with, {A}?", "{A}, you are limping. What injury do you have?"),
        say=(
            ("The injury {S} [am|is] dealing with is {nv}.", "{S} [have|has] an injury: {nv}, annoying to deal with."),
            ("{S} [have|has] {nv}, six weeks the doctor says.", "{S} got {nv} out of it, stupid injury."),
            (
                "{S} cannot carry the shopping for a while, {nv}.",
                "Ice packs and boredom: {nv}, all from reaching for the salt.",
            ),
        ),
        change=(
            (
                "The old injury is fine, but {S} [am|is] dealing with {nv} now.",
                "{S} [have|has] a new injury to be dealing with since {w}: {nv}.",
            ),
            ("No more {old}, but {S} got {nv} {w}.",),
            ("As soon as the {old} had healed, {S} fell over the cat {w}: {nv}.",),
        ),
        end=(
            ("{P} injury is gone, {S} [am|is] no longer dealing with the {old}.",),
            ("The {old} has healed, {S} [am|is] training again.",),
            ("The physio sent {o} home {w} and said the {old} is as good as new.",),
        ),
        tease=(
            "{S} thought the injury was {nv}, but the scan says no injury at all to deal with there.",
            "If {S} [keep|keeps] lifting like that, the next injury to deal with will be {nv}.",
        ),
        gossip=(
            "My trainer is dealing with {nv}, a worse injury than [you|{n}] ever had.",
            "Which injury ends a season? The goalkeeper is dealing with {nv}, [you|{n}] should stretch more.",
        ),
        now=("Which injury is {n} dealing with?", "What injury does {n} have?"),
        then=("Which injury was {n} dealing with on {t}?",),
        before=("Which injury was {n} dealing with before the {v}?",),
        still=("Is {n} still dealing with the {v}?",),
        speakers_only=True,
    ),
    Attribute(
        key="trip",
        pool="city",
        label="next trip",
        ask=("Where is your next trip going, {A}?", "{A}, which destination did you pick for the next trip?"),
        say=(
            (
                "{P} next trip is going to {v}, that is the destination {S} picked.",
                "The destination for {pn} next trip is {v}.",
            ),
            ("{S} booked a trip to {v}.", "{P} next holiday is going to be {v}, hotel by the station."),
            (
                "{S} bought a guidebook about {v} and marked every bakery in it.",
                "Two suitcases, one tent and {v} in three months, {S} [am|is] counting the days.",
                "The tickets to {v} are on {pn} fridge, under the lobster magnet.",
            ),
        ),
        change=(
            (
                "{P} next trip is going to {v} now, not to {old}, that destination is off.",
                "Change of plan: the destination for {pn} next trip is {v}, no longer {old}.",
            ),
            ("Actually the trip to {old} is off, {S} booked {v} instead.", "{S} changed the trip from {old} to {v}."),
            (
                "The airline cancelled {old} on {o} {w}, so the lobster magnet holds tickets to {v}.",
                "Too hot in {old} at that time, said everyone. Fine: {v}, with rain jackets.",
            ),
        ),
        tease=(
            "One day the next trip should be going to {v}, {S} [keep|keeps] saying that of every destination.",
            "{S} had picked {v} as the destination of a trip years ago and it rained for eight days.",
        ),
        gossip=(
            "My in-laws' next trip is going to {v}, they wonder which destination [you have|{n} has] picked.",
            "The agent calls {v} the destination of the year; [your|{n}'s] next trip should be going there.",
        ),
        now=("Where is {n}'s next trip going?", "Which destination has {n} picked for the next trip?"),
        then=("Which destination did {n} have in mind for the next trip on {t}?",),
        before=("Which destination had {n} picked for the next trip before {v}?",),
        still=("Is {n}'s next trip still going to {v}?",),
    ),
    Attribute(
        key="volunteer",
        pool="place",
        label="volunteering",
        article="the",
        ask=("Where do you volunteer, {A}?", "{A}, where do you volunteer these days?"),
        say=(
            ("{S} [volunteer|volunteers] at {nv}.", "Where {S} [volunteer|volunteers] is {nv}, twice a month."),
            ("{S} [volunteer|volunteers] a bit, mostly with {nv}.", "{S} [am|is] a volunteer with {nv}."),
            (
                "{S} spent Sunday helping out with {nv}, unpaid and happy.",
                "{S} [have|has] a bright orange vest from {nv}, very flattering.",
                "Those at {nv} call {o} whenever somebody is ill, and {s} never [say|says] no.",
            ),
        ),
        change=(
            (
                "{S} no longer [volunteer|volunteers] with {nold}, {S} [volunteer|volunteers] with {nv} now.",
                "Where {S} [volunteer|volunteers] now is {nv}, not {nold}.",
            ),
            ("{S} moved from {nold} to {nv} {w}.", "{S} left {nold} and joined {nv} as a volunteer."),
            (
                "{P} orange vest went back to {nold} {w}; those at {nv} hand out green ones.",
                "{S} could not stand the coordinator at {nold} any longer, {nv} is a joy in comparison.",
            ),
        ),
        end=(
            ("{S} no longer [volunteer|volunteers] with {nold}.",),
            ("{S} stopped helping {nold} {w}.",),
            ("{S} handed in the keys to {nold} {w}, there is no time left.",),
        ),
        tease=(
            "If {S} had more time to volunteer, it would be with {nv}.",
            "They asked {o} to volunteer with {nv}, but {S} had to say no, where would {S} find the hours?",
        ),
        gossip=(
            "My mother volunteers with {nv}, she asked where [you volunteer|{n} might volunteer].",
            "A boy I know had to volunteer with {nv} as a punishment, [you|{n}] should hear where.",
        ),
        now=("Where does {n} volunteer?", "Where does {n} volunteer these days?"),
        then=("Where did {n} volunteer on {t}?",),
        before=("Where did {n} volunteer before {nv}?",),
        still=("Does {n} still volunteer with {nv}?",),
        speakers_only=True,
    ),
    Attribute(
        key="partner",
        pool="person",
        label="partner",
        person=True,
        speakers_only=True,
        ask=("What is the name of your partner, {A}?", "{A}, who is your partner, have I met them?"),
        say=(
            (
                "{P} partner is called {v}, a good name.",
                "The name of {pn} partner is {v}, or so {vs} is called.",
            ),
            ("{P} partner {v} burnt the pancakes again.", "{S} [live|lives] with {v}, four years now."),
            (
                "{v} and {S} celebrated five years together, with terrible champagne.",
                "{v} snores, but {S} would not want to wake up next to anybody else.",
            ),
        ),
        tease=(
            "{S} had a tennis partner called {v}, what was the name of {vp} club?",
            "On the form they spelled the name of {pn} partner {v}. Complete nonsense.",
        ),
        gossip=(
            "My brother's partner is called {v}, people mix up the name with [your|{n}'s] partner.",
            "The name of my business partner is {v}, [you|{n}] met {vo} once.",
        ),
        now=("Who is {n}'s partner?", "What is the name of {n}'s partner?", "What is {n}'s partner called?"),
    ),
    Attribute(
        key="sister",
        pool="woman",
        label="sister",
        person=True,
        speakers_only=True,
        ask=("What is the name of your sister, {A}?", "{A}, what is your sister called?"),
        say=(
            (
                "{P} sister is called {v}, a good name.",
                "The name of {pn} sister is {v}, or so {vs} is called.",
            ),
            ("{P} sister {v} is visiting.", "{S} talked to {p} sister {v} for two hours on the phone."),
            (
                "{v} and {S} shared a room until {vs} turned sixteen.",
                "Our mother always said {v} got the brains, and {vs} agrees to this day.",
            ),
        ),
        tease=("The nurses at the ward call one sister {v}, that is no sister of {S_of}, just the name of the job.",),
        gossip=("My friend's sister is called {v}, so much like the name of [your|{n}'s] sister.",),
        now=("Who is {n}'s sister?", "What is the name of {n}'s sister?", "What is {n}'s sister called?"),
    ),
    Attribute(
        key="brother",
        pool="man",
        label="brother",
        person=True,
        speakers_only=True,
        ask=("What is the name of your brother, {A}?", "{A}, what is your brother called?"),
        say=(
            (
                "{P} brother is called {v}, a good name.",
                "The name of {pn} brother is {v}, or so {vs} is called.",
            ),
            ("{P} brother {v} is visiting.", "{S} [owe|owes] {p} brother {v} a lot of money."),
            (
                "{v} and {S} built a raft as kids; {vs} still has the scar, and Dad the photo of the wreck.",
                "Our parents blamed {S_o} for everything {v} broke, and {vs} broke a lot.",
            ),
        ),
        tease=("A monk called brother {v} teaches the course, no brother of {S_of} despite the name.",),
        gossip=("My flatmate's brother is called {v}, I always mix up the name with [your|{n}'s] brother.",),
        now=("Who is {n}'s brother?", "What is the name of {n}'s brother?", "What is {n}'s brother called?"),
    ),
    Attribute(
        key="neighbour",
        pool="person",
        label="neighbour",
        person=True,
        speakers_only=True,
        ask=("What is the name of your neighbour, {A}?", "{A}, what is your neighbour called?"),
        say=(
            (
                "{P} neighbour is called {v}, a good name.",
                "The name of {pn} neighbour is {v}, or so {vs} is called.",
            ),
            ("{P} neighbour {v} borrowed the ladder.", "Next door to {o} there is {v}, a quiet neighbour."),
            (
                "{v} waters the plants across the landing when {S} [am|is] away.",
                "Through the bedroom wall {S} can hear {v} sneeze.",
            ),
        ),
        change=(
            (
                "{P} neighbour {old} moved out {w}, {pn} neighbour now is called {v}, that is the name.",
                "{S} [have|has] a new neighbour, called {v} by name; {old} moved out.",
            ),
            ("{P} new neighbour is {v}, since {old} left {w}.",),
            ("{old} moved out {w}, and {v} carried a piano up the stairs past {pn} door.",),
        ),
        tease=("The neighbour {S} had as a student was called {v}, a name one does not forget.",),
        gossip=("My parents' neighbour is called {v}, I keep mixing that up with the name of [your|{n}'s] neighbour.",),
        now=("Who is {n}'s neighbour?", "What is the name of {n}'s neighbour?", "What is {n}'s neighbour called?"),
        before=("Who was {n}'s neighbour before {v}?",),
    ),
    Attribute(
        key="coach",
        pool="person",
        label="coach",
        person=True,
        speakers_only=True,
        ask=("What is the name of your coach, {A}?", "{A}, what is your coach called?"),
        say=(
            (
                "{P} coach is called {v}, a good name.",
                "The name of {pn} coach is {v}, or so {vs} is called.",
            ),
            ("{P} coach {v} shouts a lot.", "{S} [train|trains] with {v}, a patient coach."),
            (
                "{v} made {o} swim forty lengths and then asked for one more.",
                "{v} blows that whistle and {S} [am|is] in the water before thinking.",
            ),
        ),
        change=(
            (
                "{P} coach {old} left {w}, {pn} coach now is called {v}, that is the name.",
                "{S} [have|has] a new coach called {v}, the name is not {old} any more.",
            ),
            ("{P} new coach is {v}, since {old} left {w}.",),
            ("{old} retired {w}. Now it is {v} who blows the whistle, and {S} [miss|misses] the old jokes.",),
        ),
        tease=("The coach {S} had at university was called {v}, some name for a tyrant.",),
        gossip=("My son's coach is called {v}, I mix up the name with [your|{n}'s] coach.",),
        now=("Who is {n}'s coach?", "What is the name of {n}'s coach?", "What is {n}'s coach called?"),
        before=("Who was {n}'s coach before {v}?",),
    ),
)
