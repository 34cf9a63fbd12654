"""Things with a date: told afterwards, or announced and sometimes put off."""

from __future__ import annotations

from remanence.scenarios.phrases import Happening

PAST = (
    Happening(
        key="concert",
        pool="band",
        noun="the {v} concert",
        say=(
            ("{S} went to the {v} concert {w}, fantastic.", "{w_} {S} went to a concert, {v}, so loud."),
            ("{S} saw {v} live {w}.", "{w_} {S} went to see {v}, sold out."),
            (
                "{P} ears are still ringing, {v} played three encores {w}.",
                "{S} danced in the second row {w} until the drummer of {v} fell off the stage.",
            ),
        ),
        tease=(
            "{S} might go to the {v} concert one day, when they come here.",
            "When {S} had tickets for the {v} concert years ago, it got cancelled, so {S} never went.",
        ),
        gossip=("My sister-in-law went to the {v} concert. When did [you|{n}] go to a concert last, she asked.",),
        when=("When did {n} go to the {v} concert?",),
        vague=("When did {n} go to a concert?",),
    ),
    Happening(
        key="race",
        pool="city",
        noun="the {v} half marathon",
        say=(
            ("{S} ran the {v} half marathon {w}.", "{w_} {S} ran the half marathon in {v}, never again."),
            ("{S} did the half in {v} {w}, with blisters.", "{w_} {S} ran through {v} with four thousand others."),
            (
                "{S} [have|has] blisters the size of coins, thirteen miles through {v} {w}.",
                "{v} {w}: mile eleven, cramps, and a grandmother overtook {o}.",
            ),
        ),
        tease=(
            "{S} wanted to run the {v} half marathon, but missed the date when registration closed.",
            "Nobody ran the {v} half marathon when it rained like that, not even {S_o}.",
        ),
        gossip=("My dentist ran the {v} half marathon and asked when [you|{n}] ran one.",),
        when=("When did {n} run the {v} half marathon?",),
        vague=("When did {n} run a half marathon?",),
    ),
    Happening(
        key="exam",
        pool="subject",
        noun="the {v} exam",
        say=(
            ("{S} passed the {v} exam {w}!", "{w_} {S} passed the exam in {v}."),
            ("{S} got through {v} {w}, exam done.", "{w_} {S} finally passed {v}."),
            (
                "No more flash cards! {V} is behind {o} since {w}.",
                "{S} walked out of the hall {w} certain that {v} had eaten {o} alive, and it was a B.",
            ),
        ),
        tease=(
            "{S} [keep|keeps] dreaming of the {v} exam, though nobody knows when or why {S} would take it.",
            "If {S} passed the {v} exam one day there would be a party, but {S} did not even register.",
        ),
        gossip=("My nephew passed the {v} exam and asked when [you|{n}] passed the last exam.",),
        when=("When did {n} pass the {v} exam?",),
        vague=("When did {n} pass an exam?",),
    ),
    Happening(
        key="purchase",
        pool="thing",
        noun="the purchase of the {v}",
        say=(
            ("{S} bought {av} {w}.", "{w_} {S} bought {av} at half price."),
            ("{S} got {self} {av} {w}, on sale.", "The {v} arrived {w}, what a box."),
            (
                "Two men carried the {v} up {pn} stairs {w} and swore in three languages.",
                "{S} put the {v} together {w} and there are four screws left.",
            ),
        ),
        tease=(
            "{S} nearly bought {av}, but when {S} saw the price, {S} left the shop.",
            "When {S} [am|is] rich {S} will have bought {av}.",
        ),
        gossip=("My mother bought {av} and wondered when [you|{n}] bought one.",),
        when=("When did {n} buy the {v}?", "When did {n} get the {v}?"),
    ),
    Happening(
        key="hike",
        pool="peak",
        noun="the climb of {v}",
        say=(
            ("{S} climbed {v} {w}.", "{w_} {S} climbed {v}, with a view of everything."),
            ("{S} was on top of {v} {w}.", "{w_} {S} made it up {v}, in fog."),
            (
                "{P} knees hate {o}: {v}, up and down, {w}.",
                "{S} signed the book on the summit of {v} {w} with frozen fingers.",
            ),
        ),
        tease=(
            "{S} would love to have climbed {v}, but when the weather is good {S} [work|works].",
            "{S} never climbed {v}, the guide turned around when the storm came.",
        ),
        gossip=("A guy in our club climbed {v}, he asked when [you|{n}] climbed anything.",),
        when=("When did {n} climb {v}?",),
    ),
    Happening(
        key="dinner",
        pool="dish",
        noun="the dinner with {v}",
        say=(
            ("{S} cooked {v} for dinner {w}, eight people came.", "{w_} {S} cooked {v} for the whole family."),
            ("{S} made {v} for everyone {w}.", "{w_} {S} had eight people over for {v}."),
            (
                "Eight guests, one smoke alarm: {v} {w} was an adventure.",
                "{w_} the kitchen looked like a battlefield, but the {v} got applause.",
            ),
        ),
        tease=(
            "{S} never cooked {v}, when would {S} have the time for such a dinner?",
            "If {S} cooked {v} for dinner, nobody would come.",
        ),
        gossip=("My father cooked {v} for the family and asked when [you|{n}] cooked dinner last.",),
        when=("When did {n} cook {v}?", "When did {n} cook {v} for guests?"),
    ),
)

AHEAD = (
    Happening(
        key="dentist",
        pool="",
        ahead=True,
        noun="the dentist appointment",
        say=(
            ("{P} dentist appointment is {f}.", "{S} [have|has] a dentist appointment {f}."),
            ("{S} [am|is] at the dentist {f}.", "The dentist can see {o} {f}."),
            ("Root canal {f}, wish {o} luck.", "{S} will have half a numb face {f}, so no phone calls please."),
        ),
        moved=(
            ("{P} dentist appointment was moved, it is {f} now.",),
            ("The dentist called, it's {f} instead.",),
            ("The practice has a burst pipe, so the drill is waiting for {o} {f} instead.",),
        ),
        tease=("{S} should make a dentist appointment again, no idea when.",),
        gossip=("My sister-in-law forgot when her dentist appointment was set, [you|{n}] would never.",),
        when=("For which day is {n}'s dentist appointment set?",),
    ),
    Happening(
        key="driving_test",
        pool="",
        ahead=True,
        noun="the driving test",
        say=(
            ("{P} driving test is {f}.", "{S} [have|has] the driving test {f}."),
            ("{S} [am|is] taking the test {f}, parallel parking and all.",),
            ("Keep off the roads {f}, the examiner wants to see {o} park backwards.",),
        ),
        moved=(
            ("{P} driving test was moved, it is {f} now.",),
            ("They moved the test, {S} [am|is] up {f}.",),
            ("The examiner broke a leg, poor man, so {pn} parking will be judged {f} instead.",),
        ),
        tease=("{S} still [have|has] nightmares of the driving test of {pn} aunt, when she hit the fountain.",),
        gossip=("My daughter wants to know on which day [you|{n}] took the driving test and how many times.",),
        when=("On which day is {n}'s driving test?",),
    ),
    Happening(
        key="flight",
        pool="",
        ahead=True,
        noun="the flight",
        say=(
            ("{P} flight leaves {f}.", "The flight {S} booked leaves {f}."),
            ("{S} [am|is] flying {f}, early in the morning.",),
            ("Can someone water the basil? {S} [am|is] off to the airport {f}.",),
        ),
        moved=(
            ("{P} flight was moved, it leaves {f} now.",),
            ("They moved it, {S} [am|is] flying {f}.",),
            ("The pilots are on strike, so {S} will be standing at gate B12 {f} instead, says the airline.",),
        ),
        tease=("{S} [hate|hates] when a flight leaves early; last year one left without {o}.",),
        gossip=("My colleague wants to know on which day [your flight|the flight of {n}] leaves; hers is cancelled.",),
        when=("On which day does {n}'s flight leave?",),
    ),
    Happening(
        key="interview",
        pool="",
        ahead=True,
        noun="the job interview",
        say=(
            ("{P} job interview is {f}.", "{S} [have|has] a job interview {f}."),
            ("{S} got invited to an interview {f}.",),
            ("{S} ironed a shirt! Three people behind a table want to hear about {pn} weaknesses {f}.",),
        ),
        moved=(
            ("{P} job interview was moved, it is {f} now.",),
            ("The interview got pushed to another day, {f}.",),
            ("HR has the flu, so the three people behind the table will grill {o} {f} instead.",),
        ),
        tease=("When {S} had {p} first job interview, {S} spilled water on the boss.",),
        gossip=("My cousin asked for which day [your job interview|the job interview of {n}] is set, she wants tips.",),
        when=("For which day is {n}'s job interview set?",),
    ),
    Happening(
        key="housewarming",
        pool="",
        ahead=True,
        noun="the housewarming party",
        say=(
            ("{P} housewarming party is {f}.", "{S} [am|is] having a housewarming party {f}."),
            ("The party at {pn} new place is {f}.",),
            ("Bring a chair {f}, {S} only [own|owns] two, and salad, and good mood.",),
        ),
        moved=(
            ("{P} housewarming party was moved, it is {f} now.",),
            ("The party got pushed, it is {f}.",),
            ("The stairwell is being painted, so keep your salad until later: chairs and music {f}.",),
        ),
        tease=("{S} [miss|misses] the days when a housewarming party was a crate of beer.",),
        gossip=("A neighbour asked on which day [your housewarming party|the housewarming party of {n}] is. So nosy.",),
        when=("On which day is {n}'s housewarming party?",),
    ),
)
