"""The talk around the facts: greetings, reactions, corrections, evasions, and exchanges about nothing in particular.

Nothing here states a property of anybody, and no word here is a value of a fact.
"""

from __future__ import annotations

GREETINGS = (
    ("Hey {A}!", "Hi {B}, good to hear from you."),
    ("Morning, {A}. Are you awake?", "Barely, {B}, barely."),
    ("{A}! Long time no see.", "Far too long, {B}."),
    ("Hi {A}, how is it going?", "Can't complain, {B}. And you?"),
    ("Hello hello, {A}.", "Look who it is! Hi {B}."),
    ("Good evening, {A}. Is this a bad moment?", "Not at all, {B}, I just sat down."),
    ("{A}, do you have a minute?", "For you always, {B}."),
    ("Hey {A}, what's new?", "Oh, this and that, {B}."),
    ("Are you there, {A}?", "Here I am, {B}."),
    ("Hi {A}, I survived the week.", "Same here, {B}, only just."),
)
CLOSINGS = (
    ("I have to run, {A}. Talk soon!", "Bye {B}, take care."),
    ("Someone is at the door, {A}. Later!", "Go, go. Bye, {B}."),
    ("Right, bed time for me.", "Sleep well, {B}."),
    ("My battery is dying, {A}.", "Talk to you soon, {B}."),
    ("Let's talk again next week, {A}.", "Gladly, {B}."),
    ("Dinner is burning, bye {A}!", "Save what you can, {B}!"),
    ("Okay {A}, back to the grind.", "Good luck, {B}."),
    ("That was nice, {A}.", "It was, {B}. Until next time."),
)
OPENERS = (
    "Guess what.",
    "By the way.",
    "Oh, before I forget.",
    "News from me.",
    "You will laugh.",
    "Right, listen.",
    "So.",
    "Hm, what else.",
    "I meant to tell you.",
    "Okay, small update.",
    "Did I mention it?",
    "Speaking of nothing in particular.",
)
ABOUT = (
    "How is {n} doing?",
    "Any news from {n}?",
    "And {n}, what is going on there?",
    "Have you heard from {n}?",
    "How are things with {n}?",
    "What is {n} up to?",
)
REACTIONS = (
    "No way!",
    "That sounds about right.",
    "Good for you.",
    "Ha, I can picture that.",
    "Oh really? Tell me more next time.",
    "I did not see that coming.",
    "Lovely.",
    "Well, well.",
    "That is quite something.",
    "Honestly, I am a bit jealous.",
    "You never cease to surprise me.",
    "Hm, interesting.",
    "Wow, okay.",
    "I am happy to hear that.",
    "Typical!",
    "Oh dear.",
    "And you only tell me now?",
    "I need to sit down.",
    "Fair enough.",
    "Could be worse.",
    "I had a feeling.",
    "Noted!",
    "That made my day.",
    "You can tell me all about it over dinner.",
    "I would not have guessed in a hundred years.",
    "As one does.",
)
SHORT = (
    "{Nv}, if you can believe it.",
    "{Nv}. Long story.",
    "That would be {nv}.",
    "{Nv}, and don't you laugh.",
    "Hm, {nv}, of course.",
    "{Nv}, as of today.",
    "{Nv}. I thought I had told you.",
    "Easy one: {nv}.",
)
EVASIONS = (
    "Ha, you ask me that every single time.",
    "I'll tell you when we meet, my food is getting cold.",
    "Later, somebody is calling on the other line.",
    "You tell me! You have a better memory than I do.",
    "Not a topic for today, please.",
    "Let me get back to you on that.",
    "Why do you want to know? Are you writing a book?",
    "Hold that thought, the doorbell rang.",
)
EVASIONS_OTHER = (
    "No idea, honestly.",
    "I would have to ask.",
    "I always forget, sorry.",
    "You know me, I never listen.",
    "Better not get that wrong. I'll ask.",
    "It's on the tip of my tongue. No, gone.",
)
ECHOES = ("Remind me: {q}", "Sorry, I forget: {q}", "Quick question. {Q}", "Someone asked me the other day: {q}")
RESTATED = ("Did you hear? {say}", "You know the latest? {say}", "Old news, but still true. {say}")
CORRECTIONS = (
    (
        "Sorry, about {pn} {label}: I said {old}, but it is {v}.",
        "Wait, I got {pn} {label} wrong. It is {v}, not {old}.",
    ),
    (
        "Sorry, I said {old} before, I meant {v}.",
        "Wait, scratch {old}, I mixed that up. {V} is right.",
    ),
    (
        "Hang on, did I say {old}? My brain is mush. {V}, of course.",
        "I was half asleep when I said {old}. {V}, obviously.",
        "Forget {old}, that was nonsense from me, I meant {v}.",
    ),
)
EXCHANGES = (
    ("Is it raining at yours too?", "It has not stopped since {day}.", "I forgot what the sun looks like."),
    ("I slept terribly.", "Full moon?", "More like the upstairs people moving furniture at {hour}."),
    ("Have you seen the prices at the supermarket?", "Don't get me started.", "{amount} for a lettuce!"),
    ("I cleaned the {room} today.", "The whole {room}?", "Even behind the radiator."),
    ("The lift is broken again.", "Since when?", "Since {day}, and I am carrying everything up by hand."),
    ("My back hurts from sitting.", "Stand up and stretch.", "I did, now something else hurts."),
    ("I lost my keys again.", "Where were they last time?", "In the fridge. I checked there first."),
    ("Did you watch the match?", "Only the second half.", "You missed nothing before that."),
    ("I have {count} unread messages.", "Delete them all.", "Tempting."),
    ("My boss scheduled a meeting for {hour}.", "That is inhuman.", "There will be croissants, they say."),
    ("The washing machine flooded the {room}.", "Again?", "Third time. We are on first-name terms with the mop."),
    ("I need a holiday.", "You just came back!", "That is exactly when one needs it most."),
    ("The train was {amount_min} late.", "Leaves on the track?", "This time it was a swan."),
    ("Spring is coming, I can smell it.", "That's the neighbour's compost.", "Let me dream."),
    ("I tried to assemble that shelf.", "And?", "It leans. I call it art."),
    ("There is a wasp in the {room}.", "Open the window.", "It came in through the window."),
    ("I finally answered all my letters.", "On paper?", "With stamps and everything."),
    ("What's for dinner at yours?", "Leftovers.", "The best meal of the week."),
    ("I queued for {amount_min} at the post office.", "For a parcel?", "For a form to get the parcel."),
    ("Somebody parked in front of our gate.", "Did you leave a note?", "A very polite one. In capitals."),
    ("My screen froze in the middle of the call.", "With which face?", "The worst one I have."),
    ("I found {amount} in an old coat.", "Lucky you.", "It went straight into the parking meter."),
    ("The heating is making noises.", "What kind?", "Like a whale with a cold."),
    ("Do you also get those scam calls?", "Every {day}.", "Mine has started to know my name."),
    ("I had a strange dream.", "Tell me.", "I was a stapler and nobody used me."),
    ("It's so quiet here today.", "Enjoy it.", "I don't trust it."),
    ("I dropped my toast this morning.", "Butter side down?", "Is there any other side?"),
    ("The plants on the balcony gave up.", "Even the cactus?", "The cactus was first."),
    ("We are out of milk.", "And the shop closed at {hour}.", "Black it is, then."),
    ("I should get more sleep.", "You say that every {day}.", "And I mean it every {day}."),
    ("The kids next door started a drum circle.", "Earplugs?", "I have put in two pairs."),
    ("Somebody left {count} umbrellas in our stairwell.", "Did you keep one?", "I kept the one with the ducks."),
    ("My shoes are soaked.", "Newspaper inside, overnight.", "Who still has a newspaper?"),
    ("Did the clocks change?", "Not until {day}.", "So I was simply late."),
    ("They are digging up our street.", "What for?", "Nobody knows. Not even the man with the shovel."),
    ("I got a parking ticket.", "How much?", "{amount}, and a lecture for free."),
    ("The new colleague hums all day.", "What tune?", "Always the same {count} notes."),
    ("I burnt the rice.", "How can one burn rice?", "One forgets it for {amount_min}."),
    ("There's a moth in my closet.", "Lavender!", "It seems to like lavender."),
    ("I tidied the cellar.", "Find anything good?", "{count} jars of jam from another decade."),
)
FILL: dict[str, tuple[str, ...]] = {
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "hour": ("five in the morning", "half past six", "seven sharp", "eleven at night", "noon", "ten to eight"),
    "room": ("kitchen", "bathroom", "hallway", "cellar", "living room", "attic", "laundry room"),
    "amount": ("three fifty", "a tenner", "twelve quid", "twenty", "eight ninety", "two notes"),
    "amount_min": ("half an hour", "forty minutes", "an hour", "ten minutes", "an eternity", "a good hour"),
    "count": ("three", "five", "seven", "eleven", "fourteen", "twenty-two", "forty", "ninety"),
}
LEAD_INS = ("", "", "", "", "", "Anyway. ", "Ugh. ", "Hm. ", "You know what? ", "Oh well. ", "Listen. ", "Honestly. ")
