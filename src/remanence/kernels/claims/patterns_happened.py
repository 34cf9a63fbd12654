"""What happens on a day: concerts, races, purchases; appointments to come; trips, plans, belongings."""

from __future__ import annotations

from remanence.kernels.claims.templates import Field

HAPPENED = (
    Field(
        "concert",
        "t",
        state=(
            "I (went|been) to the V concert",
            "I went to a concert, V",
            "I went to a concert by V",
            "I saw V live",
            "I went to see V, sold out",
            "I went to see V (live|in_concert|play)",
            "MY ears are still ringing, V played",
            "V played * encores",
            "I danced in the * row ** of V fell off",
        ),
    ),
    Field(
        "race",
        "n",
        state=(
            "I (ran|finished|completed) the V (half_marathon|marathon)",
            "I ran (the|a) half marathon in V",
            "I did the half in V",
            "I ran through V with * others",
            "I HAVE blisters ** miles through V",
            "V T: mile * , cramps",
            "V T: mile eleven",
        ),
    ),
    Field(
        "exam",
        "p",
        state=(
            "I passed the V exam",
            "I passed (the|my)? exam in V",
            "I got through V T?, exam done",
            "I passed (my|the)? V (exam|test)",
            "I passed V",
            "+no more flash cards! V is behind ME",
            "V is behind ME since",
            "V is behind ME T",
            "!I walked out of the hall ** certain that V had eaten ME alive",
        ),
    ),
    Field(
        "purchase",
        "p",
        state=(
            "I bought (a|an) V",
            "I got SELF (a|an) V",
            "I (bought|ordered|purchased|splurged_on) SELF (a|an) V",
            "I (ordered|purchased) (a|an) V",
            "the V arrived T?, what a box",
            "!two (men|people|guys) carried the V up MY stairs",
            "I put the V together",
        ),
    ),
    Field(
        "hike",
        "n",
        state=(
            "I climbed V",
            "I was on top of V",
            "I made it up V",
            "MY knees hate ME: V, up and down",
            "I signed the book on the summit of V",
            "I (hiked|summited|hiked_up) V",
        ),
    ),
    Field(
        "dinner",
        "p",
        state=(
            "I cooked V for (dinner|the_whole_family|everyone|guests|friends)",
            "I cooked V",
            "I made V for (everyone|dinner|everybody|the_family|guests)",
            "I HAVE * people over for V",
            "I had * people over for V",
            "* guests, * smoke alarm: V T? was an adventure",
            "the kitchen looked like a battlefield, but the V got applause",
        ),
    ),
    Field(
        "dentist",
        "d",
        change=(
            "MY dentist appointment was moved, it is T",
            "the dentist called, it['’]s T instead",
            "the practice has a burst pipe, so the drill is waiting for ME T",
        ),
        state=(
            "MY dentist appointment is T",
            "I HAVE a dentist appointment T",
            "I AM at the dentist T",
            "the dentist can see ME T",
            "root canal T",
            "!I will have half a numb face T",
            "I HAVE (a|an) (appointment_with|appointment_at) (the|my) dentist T",
        ),
    ),
    Field(
        "driving_test",
        "d",
        change=(
            "MY driving test was moved, it is T",
            "they moved the test, I AM up T",
            "the examiner broke a leg, poor man, so MY parking will be judged T",
        ),
        state=(
            "MY driving test is T",
            "I HAVE (the|my|a) driving test T",
            "I AM taking the (driving)? test T",
            "!keep off the roads T",
        ),
    ),
    Field(
        "flight",
        "d",
        change=(
            "MY flight was moved, it leaves T",
            "they moved it, I AM flying T",
            "!the pilots are on strike, so I will be standing at gate * T",
        ),
        state=(
            "MY flight (leaves|is) T",
            "the flight I booked leaves T",
            "I AM flying T",
            "I AM flying (out|home|back) T",
            "I AM off to the airport T",
        ),
    ),
    Field(
        "interview",
        "d",
        change=(
            "MY job interview was moved, it is T",
            "the interview got pushed to another day, T",
            "hr has the flu, so the * people behind the table will grill ME T",
        ),
        state=(
            "MY (job)? interview is T",
            "I HAVE (a|my|the|an) (job)? interview T",
            "I got invited to an interview T",
            "!* people behind a table want to hear about MY weaknesses T",
        ),
    ),
    Field(
        "housewarming",
        "d",
        change=(
            "MY housewarming party was moved, it is T",
            "the party got pushed, it is T",
            "!the stairwell is being painted, ** chairs and music T",
        ),
        state=(
            "MY housewarming party is T",
            "I AM having (a|my|our|the) housewarming party T",
            "the party at MY new place is T",
            "bring a chair T",
        ),
    ),
    Field(
        "trip",
        "n",
        state=(
            "MY next (trip|holiday|vacation) is (going)? to V",
            "the destination for MY next trip is V",
            "I booked (a|our|my|the) (trip|holiday|vacation|flight|flights) to V",
            "MY next holiday is going to be V",
            "I bought a guidebook about V",
            "* suitcases, * and V T, I",
            "* suitcases, * and V T",
            "the tickets to V are on MY fridge",
            "I AM (going_on|planning|taking) (a|our|my) (trip|holiday|vacation) to V",
        ),
        change=(
            "MY next trip is going to V now, not to OLD",
            "the destination for MY next trip is V, no longer OLD",
            "the trip to OLD is off, I booked V",
            "I changed the trip from OLD to V",
            "the airline cancelled OLD on ME T?, so the * magnet holds tickets to V",
            "!+too hot in OLD at that time, said everyone. Fine: V",
        ),
    ),
    Field(
        "goal",
        "o",
        state=(
            "!MY (goal|dream|ambition|plan|aim) is to V",
            "!I AM (planning|hoping|saving_up|aiming|determined) to V",
            "!I (plans?|hopes?|intends?) to V",
            "~I AM gonna V",
            "~I AM going to V",
        ),
    ),
    Field(
        "owns",
        "w",
        state=("I owns? V",),
    ),
)
