"""What people like, learn, read, watch and cannot stand."""

from __future__ import annotations

from remanence.scenarios.phrases import Attribute

TASTE = (
    Attribute(
        key="food",
        pool="dish",
        label="favourite food",
        ask=("What is your favourite food, {A}?", "{A}, which dish do you like best?"),
        say=(
            (
                "{P} favourite food is {v}, no other dish is like it, simply the best.",
                "The dish {S} [like|likes] best is {v}, an eternal favourite food.",
            ),
            ("{S} could eat {v} every day, easily {p} favourite.", "{P} favourite is {v}, always has been."),
            (
                "Whenever life is unfair, {S} [order|orders] {v} and everything is fine again.",
                "On {pn} birthday there has to be {v}, otherwise it does not count.",
                "{S} would walk through a storm for a plate of {v}.",
            ),
        ),
        change=(
            (
                "{P} favourite food changed: the dish {S} [like|likes] best is {v} now, not {old}.",
                "Forget {old}: {P} favourite food, the dish {S} [like|likes] best, is {v} now.",
            ),
            (
                "{S} used to say {old}, but {p} favourite now is {v}.",
                "{v} has replaced {old} as {pn} favourite.",
            ),
            (
                "{S} never thought anything could beat {old}, and then somebody served {o} {v}.",
                "Dethroned after ten years: from now on the birthday menu reads {v}.",
            ),
        ),
        tease=(
            "{P} mother thinks {v} is {pn} favourite food, that was the dish {S} liked best at six.",
            "They served {v} at the party as if that dish were anyone's favourite food. {S} fed it to the dog.",
        ),
        gossip=(
            "My son's favourite food is {v}, he likes that dish best, [you two|{n} and he] should start a club.",
            "The new place downtown says its best dish is {v}, as if [you|{n}] had no favourite food.",
        ),
        now=("What is {n}'s favourite food?", "Which dish does {n} like best?", "What is {n}'s favourite dish?"),
        then=("What was {n}'s favourite food on {t}?",),
        before=("What was {n}'s favourite food before it was {v}?",),
        still=("Is {v} still {n}'s favourite food?",),
    ),
    Attribute(
        key="drink",
        pool="drink",
        label="morning drink",
        ask=("What do you drink in the morning, {A}?", "{A}, what is your morning drink these days?"),
        say=(
            ("What {S} [drink|drinks] in the morning is {v}.", "{P} morning drink is {v}, always."),
            ("{S} [drink|drinks] {v} before anybody may talk to {o}.", "Every morning {S} [have|has] {v}."),
            (
                "Nobody should talk to {S_o} before the first {v}.",
                "{S} [have|has] to finish {p} {v} or the day is lost by nine.",
                "Alarm, shower, {v}, and only then {s} [open|opens] both eyes.",
            ),
        ),
        change=(
            (
                "{P} morning drink changed {w}: {S} [drink|drinks] {v} now, no more {old}.",
                "In the morning {S} [drink|drinks] {v} now, not {old}.",
            ),
            ("{S} swapped {old} for {v} {w}.", "No more {old}: {S} [drink|drinks] {v} now."),
            (
                "Doctor's orders, so the {old} is history and breakfast smells of {v}.",
                "{S} never [touch|touches] {old} any more; {v} gets {o} out of bed.",
            ),
        ),
        tease=(
            "{S} tried to drink {v} in the morning for a week. Never again.",
            "Who would drink {v} in the morning? {P} dentist does, and he told {o} to.",
        ),
        gossip=(
            "My flatmate has to drink {v} in the morning, [you know|{n} knows] what he is like without.",
            "The yoga teacher says everyone should drink {v} in the morning, even [you|{n}].",
        ),
        now=("What does {n} drink in the morning?", "What is {n}'s morning drink?"),
        then=("What did {n} drink in the morning on {t}?",),
        before=("What did {n} drink in the morning before switching to {v}?",),
        speakers_only=True,
    ),
    Attribute(
        key="instrument",
        pool="instrument",
        label="instrument",
        article="the",
        ask=("Which instrument do you play, {A}?", "{A}, what instrument are you playing these days?"),
        say=(
            (
                "The instrument {S} [am|is] learning to play is {nv}.",
                "{S} can play {nv}, the loudest instrument in the house.",
            ),
            ("{S} [play|plays] {nv} in a little group.", "{S} [am|is] taking lessons on {nv}, what an instrument."),
            (
                "The neighbours knocked on the wall again while {S} practised {nv}.",
                "{S} [have|has] a recital next month and {nv} still sounds like a dying goose.",
                "{S} left {nv} on the bus and the driver brought it back in person.",
            ),
        ),
        change=(
            (
                "The instrument {S} [like|likes] to play now is {nv}, no longer {nold}.",
                "{S} [do|does] not play {nold} any more, {p} instrument is {nv} since {w}.",
            ),
            ("{S} gave up {nold} for {nv}.", "{S} switched from {nold} to {nv} {w}."),
            (
                "{S} traded in {nold} {w} and came home with {nv} in the back seat.",
                "{P} teacher retired and took all joy in {nold} along, so {nv} it is.",
            ),
        ),
        end=(
            ("{S} no longer [play|plays] {nold}, {S} sold the instrument {w}.",),
            ("{S} gave up {nold} {w}.",),
            ("{S} put {nold} up for sale {w} and somebody took it the same evening. Silence, finally.",),
        ),
        tease=(
            "If {S} could play any instrument, it would be {nv}.",
            "{P} parents wanted {o} to play {nv}, but which child wants to play that instrument?",
            "{S} [wish|wishes] {s} could play {nv}, that is a real instrument.",
        ),
        gossip=(
            "My nephew wants to play {nv}, he asked which instrument [you play|{n} plays].",
            "The woman upstairs plays {nv}, not an instrument [you|{n}] would play at midnight.",
        ),
        now=("Which instrument does {n} play?", "What instrument does {n} play?"),
        then=("Which instrument did {n} play on {t}?",),
        before=("Which instrument did {n} play before {nv}?",),
        still=("Does {n} still play {nv}?",),
    ),
    Attribute(
        key="language",
        pool="language",
        label="language lessons",
        ask=("Which language are you learning, {A}?", "{A}, what language are you learning at the moment?"),
        say=(
            (
                "The language {S} [am|is] learning is {v}.",
                "{S} [am|is] learning {v}, a beautiful language.",
            ),
            ("{S} [am|is] taking {v} lessons on Tuesdays.", "{S} [am|is] learning {v} with a rather strict teacher."),
            (
                "{P} {v} homework is due tomorrow and {s} [have|has] not even opened the book.",
                "{S} dreamt in {v} for the first time, only the word for spoon, but still.",
                "There are yellow {v} sticky notes on every piece of furniture in {pn} flat.",
            ),
        ),
        change=(
            (
                "The language {S} [am|is] learning now is {v}, not {old}.",
                "{S} [am|is] no longer learning {old}, {p} new language is {v}.",
            ),
            ("{S} switched from {old} to {v} lessons {w}.", "{S} dropped {old} and started learning {v}."),
            (
                "{S} gave {p} {old} dictionary away {w} and bought one for {v}.",
                "Twelve irregular verbs into {v}, {s} already [miss|misses] {old}.",
            ),
        ),
        end=(
            ("{S} [am|is] no longer learning {old}, {S} stopped the language course {w}.",),
            ("{S} quit the {old} lessons {w}.",),
            ("{S} told the {old} teacher {w} that it is over between them.",),
        ),
        tease=(
            "If {S} had time for learning a language, it would be {v}.",
            "{S} nearly signed up for learning {v}, but which language could be harder? {S} walked away.",
        ),
        gossip=(
            "My aunt is learning {v} and asks which language [you are|{n} is] learning.",
            "Everyone at work is learning {v} now; I told them [you are|{n} is] learning a language as well.",
        ),
        now=("Which language is {n} learning?", "What language is {n} learning?"),
        then=("Which language was {n} learning on {t}?",),
        before=("Which language was {n} learning before {v}?",),
        still=("Is {n} still learning {v}?",),
        count=("How many different languages has {n} tried to learn so far?",),
    ),
    Attribute(
        key="book",
        pool="book",
        label="book",
        ask=("Which book are you reading, {A}?", "{A}, what book are you reading right now?"),
        say=(
            (
                "The book {S} [am|is] reading is {v}.",
                "{S} [am|is] reading a book called {v}.",
            ),
            ("{S} [am|is] reading {v}, slowly.", "{S} just started {v}, a thick book."),
            (
                "{S} fell asleep on page ninety of {v} and woke up with ink on the nose.",
                "{S} missed the bus stop twice because of {v}.",
                "No spoilers for {v}, please, {S} [have|has] two chapters to go.",
            ),
        ),
        change=(
            (
                "{S} finished {old}, the book {S} [am|is] reading now is {v}.",
                "{S} [am|is] reading a new book since {w}: {v}.",
            ),
            ("{S} put {old} aside and started {v}.", "{S} [am|is] reading {v} now, done with {old}."),
            (
                "{old} went back to the library {w}, and {v} kept {o} up until three.",
                "On the bedside table {v} has taken over; {old} made {o} cry on a train.",
            ),
        ),
        tease=(
            "Everyone is reading {v}, but that is a book {S} [am|is] never reading.",
            "{S} bought {v} as a present, a book {p} father will be reading.",
            "If {S} had time for reading, the book would be {v}.",
        ),
        gossip=(
            "My book club is reading {v} and wants to know which book [you are|{n} is] reading.",
            "The girl on the train was reading {v}, the very book [you|{n}] should be reading, she said.",
        ),
        now=("Which book is {n} reading?", "What book is {n} reading?"),
        then=("Which book was {n} reading on {t}?",),
        before=("Which book was {n} reading before {v}?",),
        still=("Is {n} still reading {v}?",),
        count=("How many different books has {n} been reading so far?",),
    ),
    Attribute(
        key="series",
        pool="series",
        label="series",
        ask=("Which series are you watching, {A}?", "{A}, what series are you watching these days?"),
        say=(
            ("The series {S} [am|is] watching is {v}.", "{S} [am|is] watching a series called {v}."),
            ("{S} [am|is] watching {v}, one episode per night.", "{S} got hooked on {v}, what a series."),
            (
                "Three episodes of {v} in one night, {S} [have|has] no regrets.",
                "{S} shouted at the screen because of {v}. How could they kill the vet?",
            ),
        ),
        change=(
            (
                "{S} [am|is] watching a new series since {w}: {v}, no longer {old}.",
                "The series {S} [am|is] watching now is {v}, not {old}.",
            ),
            ("{S} gave up on {old} and [am|is] watching {v} now.", "{S} started {v} {w}, done with {old}."),
            (
                "After the finale of {old} there was a hole in {pn} life, {v} fills it nicely.",
                "{S} stayed up for the pilot of {v} {w}, {old} can wait forever.",
            ),
        ),
        tease=(
            "They keep recommending {v}, but that is no series {S} [am|is] ever watching.",
            "If {S} was watching any series, people would guess {v}.",
        ),
        gossip=(
            "My parents are watching {v}, not that [you were|{n} was] watching any series with them.",
            "Everyone in the office is watching {v}, which series [are you|is {n}] watching, they ask.",
        ),
        now=("Which series is {n} watching?", "What series is {n} watching?"),
        then=("Which series was {n} watching on {t}?",),
        before=("Which series was {n} watching before {v}?",),
        still=("Is {n} still watching {v}?",),
        speakers_only=True,
    ),
    Attribute(
        key="band",
        pool="band",
        label="favourite band",
        ask=("Which band is your favourite, {A}?", "{A}, what is your favourite band?"),
        say=(
            ("{P} favourite band is {v}.", "The band that is {pn} favourite is called {v}."),
            ("{S} [listen|listens] to {v} all day, {p} favourite.", "Best band ever for {o}: {v}."),
            (
                "{S} [have|has] all four records by {v}, even the terrible live one.",
                "{S} got a tattoo of the {v} logo, on the shoulder, do not tell anyone.",
                "{S} hummed {v} through the entire meeting without noticing.",
            ),
        ),
        change=(
            (
                "{P} favourite band is {v} now, no longer {old}.",
                "{S} changed: the band that is {pn} favourite now is {v}.",
            ),
            ("{v} has replaced {old} as {pn} favourite.", "{S} [am|is] over {old}, it's all {v} now."),
            (
                "{P} {old} records are in a box in the attic; the walls shake with {v} from morning till night.",
                "{S} discovered {v} {w} and has not played anything else, sorry {old}.",
            ),
        ),
        tease=(
            "At fifteen {pn} favourite band was {v}, how embarrassing.",
            "Every algorithm thinks {v} is {pn} favourite band. It is not.",
        ),
        gossip=(
            "My daughter's favourite band is {v}, she asks which band is [your favourite|{n}'s favourite].",
            "The plumber said {v} was the favourite band of his youth, [you|{n}] would laugh.",
        ),
        now=("Which band is {n}'s favourite?", "What is {n}'s favourite band?"),
        then=("Which band was {n}'s favourite on {t}?",),
        before=("Which band was {n}'s favourite before {v}?",),
        still=("Is {v} still {n}'s favourite band?",),
        speakers_only=True,
    ),
    Attribute(
        key="allergy",
        pool="allergen",
        label="allergies",
        many=True,
        ask=("What are you allergic to, {A}?", "{A}, before I cook: what are you allergic to?"),
        say=(
            (
                "{S} [am|is] allergic to {v}, among other things.",
                "Things {S} [am|is] allergic to: {v}.",
            ),
            ("{S} [am|is] badly allergic to {v}.", "{P} allergy test came back positive for {v}."),
            (
                "One contact with {v} and {pn} face swells up like a balloon.",
                "{S} [carry|carries] an emergency pen because of {v}.",
                "The doctor put {v} on {pn} red card, in capital letters.",
            ),
        ),
        change=(
            (
                "Of all things, {S} [am|is] allergic to {v} as well.",
                "{S} [am|is] also allergic to {v}, one of those new things.",
            ),
            ("{S} [am|is] allergic to {v} too, it seems.", "Turns out {pn} allergy includes {v} too."),
            (
                "Another one for the red card: {v}. {S} spent the night in the emergency room.",
                "Now {v} also [make|makes] {o} itch from head to toe.",
            ),
        ),
        end=(
            ("{S} [am|is] no longer allergic to {old}, the test was negative.",),
            ("{P} new test says {old} is no problem for {o} any more.",),
            ("Good news from the lab: {old} may be crossed off {pn} red card.",),
        ),
        tease=(
            "{S} thought {S} was allergic to {v}, but {s} was never allergic, just unlucky.",
            "{P} mother insists {s} [am|is] allergic to {v}. The test says no such thing.",
        ),
        gossip=(
            "My neighbour is allergic to {v}, he asked what [you are|{n} is] allergic to.",
            "Half of my office is allergic to {v}, so [you are|{n} is] not alone with being allergic.",
        ),
        now=("What is {n} allergic to?", "Which things is {n} allergic to?"),
        still=("Is {n} still allergic to {v}?",),
        count=("To how many things is {n} allergic now?",),
    ),
    Attribute(
        key="hobby",
        pool="hobby",
        label="hobbies",
        many=True,
        ask=("Which hobbies do you have, {A}?", "{A}, what are your hobbies these days?"),
        say=(
            ("One of {pn} hobbies is {v}.", "{S} [have|has] hobbies, of course: {v}."),
            ("{S} [do|does] {v} on weekends, best of hobbies.", "{S} [am|is] really into {v}."),
            (
                "{S} spent all Saturday on {v} and can barely move.",
                "{P} Thursdays belong to {v}, phone off, no excuses.",
                "{S} met the loveliest people at {v}, half of them over seventy.",
            ),
        ),
        change=(
            ("{S} [have|has] a new one among {p} hobbies: {v}.", "{S} also [have|has] {v} among {p} hobbies now."),
            ("{S} took up {v} {w}, one more for {p} hobbies.", "{S} [am|is] into {v} as well now."),
            (
                "{S} signed up for {v} {w}, as if {p} weeks had eight days.",
                "Somebody dragged {o} along to {v} {w} and now {s} [have|has] all the gear.",
            ),
        ),
        end=(
            ("{S} gave up one of {p} hobbies {w}: no more {old}.",),
            ("{S} stopped doing {old} {w}.",),
            ("{S} sold all the gear for {old} {w}, the knees said enough.",),
        ),
        tease=(
            "Of all hobbies, {v} is one {S} would never have.",
            "{S} always wanted to have {v} among {p} hobbies, but never dared.",
        ),
        gossip=(
            "My uncle has strange hobbies, {v} for instance, [you|{n}] should have a look.",
            "A magazine lists {v} among the hobbies that people like [you|{n}] should have.",
        ),
        now=("Which hobbies does {n} have?", "What are {n}'s hobbies?"),
        still=("Is {v} still one of {n}'s hobbies?",),
        count=("How many hobbies does {n} have now?",),
    ),
)
