"""Where people live, what they work, how they get about, what they own."""

from __future__ import annotations

from remanence.scenarios.phrases import Attribute

DAILY = (
    Attribute(
        key="home_city",
        exclusive=True,
        pool="city",
        label="city",
        ask=(
            "So {A}, which city do you live in these days?",
            "{A}, what city are you living in now?",
            "Which city do you live in at the moment, {A}?",
        ),
        say=(
            (
                "{S} [live|lives] in {v} these days, such a friendly city to live in.",
                "The city {S} chose to live in is {v}, right behind the market hall.",
                "{P} city is {v}, {s} got to live above a bakery and it smells divine.",
            ),
            (
                "{S} [live|lives] near the old depot in {v}.",
                "{S} [have|has] a small flat in {v}, third floor, no lift, but the city is worth it.",
                "{S} [am|is] renting a place in {v}, the city with all those cranes.",
            ),
            (
                "{P} kitchen window looks out on the rooftops of {v}.",
                "{S} finally got a library card for {v}, so now it feels official.",
                "{P} postcode is {av} one, the flat has crooked floors and a view of the chimneys.",
                "{S} [pay|pays] council tax to {v} and [grumble|grumbles] about it every spring.",
                "{P} front door key opens a blue door in the old quarter of {v}.",
            ),
        ),
        change=(
            (
                "{S} moved {w}: the city {S} chose to live in now is {v}, no longer {old}.",
                "Actually {S} [do|does] not live in {old} any more, {p} city is {v} now.",
                "{S} moved to live in a new city {w}: {v}.",
            ),
            (
                "Actually {we} ended up in {v}, the flat in {old} fell through.",
                "{S} moved from {old} to {v} {w}.",
                "{w_} {S} moved out. {We} live in {v} now.",
            ),
            (
                "The keys to the place in {old} went back {w}; letters go to {v} from here on.",
                "Boxes everywhere! {v} welcomed {us} with rain {w}.",
                "Well, the van broke down twice, but {we} unloaded the sofa in {v} {w} and {we}'re staying for good.",
                "Actually {we} ended up in {v}.",
            ),
        ),
        tease=(
            "If {S} could live in any city at all, it would be {v}.",
            "{S} [am|is] in {v} for a conference this week, a fine city to visit, but who could live in such a city?",
            "{P} dream city to live in would be {v}, but the rents there, ouch.",
            "{S} nearly went to live in {v} years ago, which city would have been better nobody knows.",
        ),
        gossip=(
            "My cousin lives in {v}, and she always asks which city [you live|{n} lives] in.",
            "A colleague of mine lives in {v}, not a city [you|{n}] would want to live in.",
        ),
        now=("Which city does {n} live in?", "In which city does {n} live?", "What city does {n} live in these days?"),
        then=("Which city did {n} live in on {t}?", "In which city was {n} living on {t}?"),
        before=("Which city did {n} live in before {v}?",),
        still=("Does {n} still live in {v}?", "Is {n} still living in {v}?"),
        count=("How many different cities has {n} lived in so far?",),
    ),
    Attribute(
        key="hometown",
        pool="city",
        label="town of birth",
        ask=("Which town were you born in, {A}?", "{A}, where were you born, actually? Which town?"),
        say=(
            (
                "{S} [was|was] born in {v}, a small town back then.",
                "The town where {S} was born is {v}.",
            ),
            (
                "{S} was {av} baby, born in the middle of a snow storm.",
                "{P} birth certificate says {v}, that town by the water.",
            ),
            (
                "{S} first saw daylight in the hospital of {v}, and {p} grandparents never left.",
                "{P} childhood bedroom is in {v}, with the same curtains as ever.",
                "{S} learnt to walk on the cobbles of {v}, where {p} parents had a shop.",
            ),
        ),
        tease=(
            "People think {S} was born in {v}, but that is the town where {p} grandfather was born.",
            "{S} would have loved to be born in a town like {v}.",
        ),
        gossip=("My flatmate was born in {v}, not a town [you were|{n} was] born in, I guess.",),
        now=("Which town was {n} born in?", "In which town was {n} born?"),
        speakers_only=True,
    ),
    Attribute(
        key="job",
        exclusive=True,
        pool="job",
        label="job",
        article="a",
        ask=("{A}, what do you do for a living these days?", "What is your job at the moment, {A}?"),
        say=(
            (
                "{S} [work|works] as {nv}, that job is what {S} [do|does] for a living.",
                "For a living {S} [do|does] the job of {nv}, and {s} [love|loves] it.",
                "{P} job is {nv}, hard work for a living but fun.",
            ),
            (
                "{S} [work|works] as {nv}, early mornings included.",
                "{S} got hired as {nv}, first proper job in ages.",
            ),
            (
                "{S} [am|is] {nv}, so weekends are rarely free.",
                "As {nv} {S} [get|gets] asked for free advice at every party.",
                "{P} business card says {v} now, with a typo in the phone number.",
                "After three years of evening courses {S} may finally call {self} {nv}.",
            ),
        ),
        change=(
            (
                "{P} job changed {w}: for a living {S} [am|is] now {nv}, no longer {nold}.",
                "Actually {S} [am|is] not {nold} any more, the job {S} [do|does] for a living is {nv}.",
            ),
            (
                "{S} switched jobs {w}, from {old} to {v}.",
                "{S} retrained, so now it's {nv} instead of {nold}.",
            ),
            (
                "{P} first shift as {nv} was {w}, and {p} feet still hurt.",
                "{S} hung up the old uniform; these days people call {o} when they need {nv}.",
                "Turns out {S} [make|makes] a better {v} than {old}, who would have thought.",
            ),
        ),
        tease=(
            "If {S} had to change what {S} [do|does] for a living, the job would be {v}.",
            "As a child {S} wanted a job as {nv}, imagine doing that for a living.",
            "They offered {S_o} a job as {nv}, but {s} said no, that is nothing to do for a living.",
        ),
        gossip=(
            "My uncle has a job as {nv}, he always asks what [you do|{n} does] for a living.",
            "What a job: a friend from school works as {nv} for a living, unlike [you|{n}].",
        ),
        now=("What does {n} do for a living?", "What is {n}'s job?", "Which job does {n} have?"),
        then=("What did {n} do for a living on {t}?", "What was {n}'s job on {t}?"),
        before=("What was {n}'s job before becoming {nv}?",),
        still=("Does {n} still work as {nv}?",),
        count=("How many different jobs has {n} had so far?",),
    ),
    Attribute(
        key="employer",
        exclusive=True,
        pool="company",
        label="employer",
        ask=("Which company do you work for now, {A}?", "{A}, what company are you working for these days?"),
        say=(
            (
                "The company {S} [am|is] proud to work for is {v}, a decent employer.",
                "{P} employer, the company {S} [am|is] happy to work for, is {v}.",
            ),
            (
                "{S} [work|works] at {v}, the canteen there is surprisingly good.",
                "{P} employer is {v}, and the printer never works there.",
            ),
            (
                "{S} [have|has] {av} badge around the neck all day, even in the supermarket.",
                "{P} payslip comes from {v}, always on the very last day of the month.",
                "{v} gave {o} a desk by the window and a very old laptop.",
                "The {v} Christmas party was three floors of singing and {S} had to give a speech.",
            ),
        ),
        change=(
            (
                "{S} changed employer {w}: the company {S} now [get|gets] to work for is {v}, not {old}.",
                "Actually {S} [do|does] not work for {old} any more, {p} employer is a company called {v}.",
            ),
            (
                "{S} left {old} and started working at {v} {w}.",
                "{S} handed in {p} notice at {old}, {v} made a better offer and {s} took it.",
            ),
            (
                "{P} first day at {v} was {w}, nobody knew where the coffee machine was.",
                "{v} poached {o}! The people at {old} baked {o} a farewell cake.",
                "Goodbye open-plan hell, {v} gave {o} an office with a door.",
            ),
        ),
        end=(
            ("{S} no longer [work|works] for {old}, {S} quit that company {w}.",),
            ("{S} quit at {old} {w}, no new employer yet.",),
            ("{S} gave the {old} badge back {w} and [have|has] slept until ten ever since.",),
        ),
        tease=(
            "{S} had an interview with a company called {v}, but {S} would never work for that company.",
            "If {S} could work for any company, it would be {v}.",
            "Someone from {v} called and asked which company {S} [work|works] for. {S} hung up.",
        ),
        gossip=(
            "My brother-in-law works for {v}, he wants to know which company [you work|{n} works] for.",
            "The company next door to ours is {v}; people who work for them look as tired as [you|{n}].",
        ),
        now=("Which company does {n} work for?", "What company is {n} working for?", "Who is {n}'s employer?"),
        then=("Which company did {n} work for on {t}?",),
        before=("Which company did {n} work for before {v}?",),
        still=("Does {n} still work for {v}?",),
        count=("How many different companies has {n} worked for so far?",),
    ),
    Attribute(
        key="car",
        pool="car",
        label="car",
        article="a",
        ask=("Which car do you drive these days, {A}?", "{A}, what kind of car do you drive?"),
        say=(
            (
                "The car {S} [do|does] drive is {nv}, a sturdy kind of car.",
                "{S} [get|gets] to drive {nv}, not the newest kind of car, but it starts.",
            ),
            (
                "{S} bought {nv} at auction, the car smells of wet dog.",
                "{S} [drive|drives] {nv} with a dented door.",
            ),
            (
                "{P} {v} failed its inspection again, rust everywhere.",
                "Somebody scratched {pn} {v} in the supermarket garage.",
                "{S} spent Sunday vacuuming crumbs out of the {v}.",
                "There is a family of mice under the bonnet of {pn} {v}.",
            ),
        ),
        change=(
            (
                "{S} changed cars {w}: the kind of car {S} [get|gets] to drive now is {nv}, not the {old}.",
                "Actually {S} [do|does] not drive the {old} any more, {p} car is {nv} now.",
            ),
            (
                "{S} traded the {old} in for {nv} {w}.",
                "{P} new car arrived: {nv}. The {old} went to {p} nephew.",
            ),
            (
                "The {old} finally died on the motorway {w}, so there is {nv} in front of the house.",
                "{S} signed the papers for {nv} {w} and had to learn where the handbrake is.",
                "Heated seats! {S} never knew what {s} was missing before the {v}.",
            ),
        ),
        end=(
            ("{S} no longer [drive|drives] a car, {S} sold the {old} {w}.",),
            ("{S} sold the {old} {w}, no car for {us} any more.",),
            ("The {old} went to the scrapyard {w}; {p} parking permit is up for grabs.",),
        ),
        tease=(
            "If money were no object, the car {S} would drive is {nv}.",
            "{S} sat in the back of {nv} last summer, not the kind of car {S} would ever drive.",
            "{S} [keep|keeps] looking at ads for {nv}, but which sane person would drive such a car?",
        ),
        gossip=(
            "My boss drives {nv} and thinks it is the kind of car [you|{n}] should drive.",
            "Which car does a dentist drive? Mine drives {nv}, [you|{n}] would laugh.",
        ),
        now=("Which car does {n} drive?", "What kind of car does {n} drive?", "What car does {n} drive?"),
        then=("Which car did {n} drive on {t}?",),
        before=("Which car did {n} drive before the {v}?",),
        still=("Does {n} still drive the {v}?",),
        count=("How many different cars has {n} driven so far?",),
    ),
    Attribute(
        key="commute",
        exclusive=True,
        pool="commute",
        label="way to work",
        ask=("How do you get to work now, {A}?", "{A}, how do you get to work in the mornings?"),
        say=(
            ("{S} [get|gets] to work by {v} in the mornings.", "To get to work {S} [take|takes] the {v}."),
            (
                "{S} [go|goes] to the office by {v}, twenty minutes to work if all goes well.",
                "{S} [take|takes] the {v} to work.",
            ),
            (
                "{S} [know|knows] every bump on the route, twenty minutes each way by {v}.",
                "Mornings mean {v} for {o}, whatever the weather.",
                "{S} [have|has] read six novels this year, thanks to the {v} and its delays before nine.",
            ),
        ),
        change=(
            (
                "{S} [get|gets] to work by {v} now, no longer by {old}.",
                "Since {w} {S} [get|gets] to work by {v}.",
            ),
            ("{S} swapped the {old} for the {v} on the way to work.", "Since {w} it's the {v} to the office for {o}."),
            (
                "No more {old} for {o}; at eight sharp {s} [am|is] on the {v} with a thermos.",
                "The {old} line is closed for repairs until next year, so {v} it is at dawn.",
            ),
        ),
        tease=(
            "If {S} lived by the sea {S} would get to work by {v}.",
            "Just once {S} tried to get to work by {v}; never again, {S} got to work at noon.",
        ),
        gossip=(
            "My neighbour gets to work by {v}, imagine [you|{n}] trying to get to work like that?",
            "Our new intern gets to work by {v}, [you|{n}] would never get to work at all.",
        ),
        now=("How does {n} get to work?", "How does {n} get to work in the mornings?"),
        then=("How did {n} get to work on {t}?",),
        before=("How did {n} get to work before switching to the {v}?",),
        still=("Does {n} still get to work by {v}?",),
        speakers_only=True,
    ),
    Attribute(
        key="rent",
        pool="rent",
        trend=1,
        label="rent",
        ask=("How much rent do you pay, {A}, if I may ask?", "{A}, how much is your rent per month?"),
        say=(
            ("{S} [pay|pays] {v} rent per month, heating not included.", "The rent {S} [pay|pays] is {v} per month."),
            ("{P} rent is {v}, bills not included.", "{S} [pay|pays] {v} for two rooms and a balcony."),
            (
                "On the first of every month {v} disappear from {pn} account, for two rooms and a leaky tap.",
                "{P} landlord gets {v} and still refuses to fix the doorbell.",
            ),
        ),
        change=(
            (
                "{P} rent went up {w}: {S} [pay|pays] {v} rent per month now, not {old}.",
                "The rent {S} [pay|pays] per month changed to {v}.",
            ),
            ("{P} rent changed from {old} to {v}.", "New lease, so {S} [pay|pays] {v} now."),
            (
                "The landlord sent one of his letters {w}: {v} from now on, for the same leaky tap.",
                "{S} signed the new lease at {v}, after a long fight.",
            ),
        ),
        tease=(
            "{S} saw a flat where the rent per month would be {v}, who can pay that much rent?",
            "If {S} had to pay {v} rent per month, {S} would live in a tent.",
        ),
        gossip=(
            "My sister-in-law pays {v} rent per month, much more rent than [you|{n}] would pay.",
            "A guy at work asked how much rent [you pay|{n} pays]; his own rent is {v} per month.",
        ),
        now=("How much rent does {n} pay?", "How much rent does {n} pay per month?"),
        then=("How much rent did {n} pay on {t}?",),
        before=("How much rent did {n} pay before it became {v}?",),
        speakers_only=True,
    ),
    Attribute(
        key="school",
        exclusive=True,
        pool="school",
        label="kids' school",
        ask=("Which school do your kids go to, {A}?", "{A}, what school do the kids go to now?"),
        say=(
            ("{P} kids go to {v}, a lovely school.", "The school that {pn} kids go to is {v}."),
            ("{P} kids are at {v}, third year already.", "{S} [drop|drops] the kids off at {v} every morning."),
            (
                "{S} [am|is] baking forty muffins for the {v} summer fair, again.",
                "The twins have a head lice letter from {v} in their bags. {S} [am|is] scratching just thinking of it.",
                "{S} got elected to the parents' council at {v}, by being absent.",
            ),
        ),
        change=(
            (
                "{P} kids changed school {w}: they go to {v} now, not {old}.",
                "Actually {pn} kids no longer go to {old}, their school is {v} now.",
            ),
            ("{S} took the kids out of {old}, they started at {v} {w}.", "{P} kids switched from {old} to {v} {w}."),
            (
                "First morning at {v} {w}: both of the twins cried, and so did {s}.",
                "{v} had two free places after all, so the twins said goodbye to {old}.",
            ),
        ),
        tease=(
            "{S} looked at {v} for the kids, a posh school, but {p} kids will never go to such a school.",
            "{S} [wish|wishes] the kids could go to {v}, but that school is full.",
        ),
        gossip=(
            "My colleague's kids go to {v}, the school [you were|{n} was] asking about for the kids.",
            "Someone asked me which school [your kids|the kids of {n}] go to. His own kids go to {v}.",
        ),
        now=("Which school do {n}'s kids go to?", "What school do {n}'s kids go to?"),
        then=("Which school did {n}'s kids go to on {t}?",),
        before=("Which school did {n}'s kids go to before {v}?",),
        still=("Do {n}'s kids still go to {v}?",),
        speakers_only=True,
    ),
    Attribute(
        key="phone",
        pool="phone",
        label="phone",
        article="a",
        ask=("Which phone do you use, {A}?", "{A}, what phone do you use now?"),
        say=(
            ("The phone {S} [use|uses] is {nv}.", "{S} [use|uses] {nv}, a phone that does what it should."),
            ("{P} phone is {nv}, second hand.", "{S} [use|uses] {nv} with a cracked screen."),
            (
                "{P} {v} takes pictures like a potato, sorry.",
                "{S} dropped the {v} in the sink and put it in a bowl of rice.",
                "Can anyone lend {o} a charger that fits {nv}?",
            ),
        ),
        change=(
            (
                "{S} [use|uses] a new phone since {w}: {nv} instead of the {old}.",
                "The phone {S} [use|uses] now is {nv}, not the {old}.",
            ),
            ("{S} swapped the {old} for {nv} {w}.", "{P} new phone is {nv}."),
            (
                "The {old} drowned, so {S} [am|is] typing this on {nv} and every word is a typo.",
                "{S} unpacked {nv} {w} and spent the evening transferring photos.",
            ),
        ),
        tease=(
            "{S} almost bought {nv}, but who would use a phone that size?",
            "At work they wanted {o} to use {nv}, such a clumsy phone, but {S} refused.",
        ),
        gossip=(
            "My dad uses {nv}, he wants to know which phone [you|{n}] would use.",
            "A friend found {nv} on the bus, not a phone [you|{n}] would use.",
        ),
        now=("Which phone does {n} use?", "What phone does {n} use?"),
        then=("Which phone did {n} use on {t}?",),
        before=("Which phone did {n} use before the {v}?",),
        still=("Does {n} still use the {v}?",),
        speakers_only=True,
    ),
)
