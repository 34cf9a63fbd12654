"""Whom people know and live with, and who they are."""

from __future__ import annotations

from remanence.kernels.claims.templates import Field
from remanence.kernels.claims.words import KIN


def _relations() -> tuple[Field, ...]:
    """The idioms that hold for every word for a relative: "my sister is called …", "my friend Lena"."""
    words: dict[str, list[str]] = {}
    for word, key in KIN.items():
        words.setdefault(key, []).append(word.replace(" ", "_"))
    fields = []
    for key, names in words.items():
        kin = f"({'|'.join(names)})"
        fields.append(
            Field(
                key,
                "n",
                state=(
                    f"MY {kin} is (called|named) V",
                    f"the name of MY {kin} is V",
                    f"MY {kin}['’]s name is V",
                    f"MY {kin} is V",
                    f"~MY (best|dear|good|close|little|big|older|younger|eldest|new|old|twin)? {kin},? V",
                    f"V is MY {kin}",
                    f"V, MY (best|dear|little|big|older|younger)? {kin},",
                    f"I HAVE (a|an) (older|younger|big|little|twin|best|new)? {kin} (called|named) V",
                ),
                change=(
                    f"MY {kin} OLD (moved_out|left|moved_away|retired|quit) T?, MY {kin} now is (called|named)? V",
                    f"I HAVE a new {kin}, called V by name; OLD moved",
                    f"I HAVE a new {kin} called V, the name is not OLD",
                    f"MY new {kin} is (called|named)? V, since OLD (left|moved|retired)",
                    f"MY new {kin} is (called|named)? V",
                ),
            )
        )
    return tuple(fields)


PEOPLE = (
    *_relations(),
    Field(
        "partner",
        "n",
        state=(
            "I lives? with V",
            "V and I celebrated * (years|anniversary)",
            "!V snores, but I would not want to wake up",
            "I (got_married|am_married|is_married|am_engaged|is_engaged|got_engaged) to V",
            "I married V",
            "I AM (dating|seeing|going_out_with|in_a_relationship_with|married_to|engaged_to) V",
        ),
        end=(
            "I broke up with V",
            "I (split_up|broke_up|divorced|separated) (with|from)? V",
            "V and I (broke_up|split_up|split|divorced|separated)",
        ),
    ),
    Field(
        "sister",
        "n",
        state=(
            "V and I shared a room until",
            "MY mother (always)? said V got the brains, and she",
        ),
    ),
    Field(
        "brother",
        "n",
        state=(
            "V and I built a raft as kids",
            "MY parents blamed ME for everything V broke",
        ),
    ),
    Field(
        "neighbour",
        "n",
        state=(
            "next door to ME there is V",
            "V (lives|moved_in) (next_door|upstairs|downstairs)",
            "V waters the plants across the landing when I AM away",
            "!through the * wall I can hear V",
        ),
        change=("OLD moved out T?, and V carried * (up|down) the stairs past MY door",),
    ),
    Field(
        "coach",
        "n",
        state=(
            "I trains? with V, a * coach",
            "V made ME swim",
            "V blows (that|the|a) whistle and I",
        ),
        change=("+OLD retired T?. Now it is V who blows the whistle, and I",),
    ),
    Field(
        "friend",
        "n",
        state=("MY (best)? (friends|friend),? V", "I AM (good|best|close)? friends with V"),
    ),
    Field(
        "pet",
        "n",
        state=(
            "MY pet is (a|an) KIND, called by the name of V",
            "I HAVE a pet, (a|an) KIND called V",
            "I HAVE (a|an|one|this|our) * KIND (called|named) V",
            "I HAVE (a|an|one|this|our) * KIND, V",
            "?I (adopted|got|rescued) (a|an) KIND; V is a * name",
            "!+V chewed * MY *. Never trust (a|an) KIND",
            "I spent the night at the vet with V, the KIND",
            "the KIND has claimed MY pillow, and nobody argues with V",
            "MY ([a-z]+)? KIND['’]s name is V",
            "MY ([a-z]+)? KIND is (called|named) V",
            "MY ([a-z]+)? KIND,? V",
            "V is MY ([a-z]+)? KIND",
            "V, MY ([a-z]+)? KIND",
            "MY pet(['’]s_name)? is (called|named)? V",
            "I named (him|her|it|the_KIND|our_KIND|my_KIND) V",
        ),
        change=(
            "I HAVE a new pet T?, (a|an) KIND called V, nice name; OLD is gone",
            "I HAVE a new pet T?, (a|an) KIND (called|named) V",
            "MY pet is (now)? (a|an) KIND called V, so the name is not OLD",
            "+I adopted (a|an) KIND T?, called V. OLD (lives|lived|stays|moved|went)",
            "I (adopted|got|rescued|bought) (a|an|another) * KIND T?, (called|named) V",
            "I (adopted|got|rescued|bought) (a|an|another) * KIND (called|named) V",
            "I (adopted|got|rescued|bought) (a|an|another) * KIND T?, (her|his|its) name is V",
            "+I (adopted|got|rescued|bought) (a|an|another) * KIND T?. (her|his|its) (name_is|name['’]s) V",
            "+I (adopted|got|rescued|bought) (a|an|another) * KIND T?! (her|his|its) (name_is|name['’]s) V",
            "+the house was so quiet without OLD, so I came home with (a|an) KIND T?. Say hello to V",
            "!after OLD passed away I swore never again, and yet there is V, (a|an) KIND",
        ),
        end=(
            "I no longer HAVE? a pet, V was given away",
            "I no longer (has|have) a pet, V was given away",
            "I (had_to_give|gave|have_to_give) V away",
            "MY (aunt|uncle|sister|brother|mother|father|neighbour|neighbor|friend|cousin|parents) took V in",
            "MY KIND,? V,? (passed_away|died|was_put_down|ran_away)",
        ),
    ),
    Field(
        "pet",
        "l",
        state=(
            "~I HAVE (a|an|two|three|four|one|some|my_own) (pet|little|old|new|cute)? V",
            "~I (adopted|rescued) (a|an) * V",
        ),
    ),
    Field(
        "",
        "n",
        end=("V (passed_away|died|was_put_down)",),
    ),
    Field(
        "name",
        "n",
        change=("I changed MY name to V",),
        state=("MY (full)? name is V", "I AM called V", "my name['’]s V"),
    ),
    Field(
        "phone_number",
        "u",
        state=("MY (phone|mobile|cell)? number is V",),
        change=("MY new (phone|mobile)? number is V",),
    ),
    Field("religion", "r", state=("I AM (a|an)? V:r",), change=("I (converted_to|became) (a|an)? V:r",)),
    Field("nationality", "f", state=("I AM V:f",)),
    Field(
        "nickname",
        "n",
        state=(
            "(everyone|everybody|friends|people|they) calls? ME V",
            "MY nickname is V",
            "(please|just|can)? call ME V",
        ),
    ),
    Field(
        "age",
        "q",
        state=("I AM V years old", "I AM V (and|now)", "I turns? V", "I turned V", "I AM turning V", "I just turned V"),
    ),
    Field("height", "w", state=("I AM V tall",)),
    Field("birthday", "d", state=("MY birthday is (on)? T", "I was born on T")),
    Field(
        "email",
        "m",
        state=("MY (new)? (e-mail|email|mail) (address)? is V", "(email|e-mail|mail|reach|write_to) ME at V"),
    ),
    Field(
        "marital_status",
        "p",
        state=(
            "I AM V:s",
            "I HAD been V:s (for|since)",
        ),
        change=("I got V:s", "I AM now V:s"),
    ),
    Field(
        "partner",
        "n",
        end=("I broke up", "I got divorced", "I split up", "MY (girlfriend|boyfriend|wife|husband|partner) left ME"),
    ),
    Field("job", "j", end=("I (quit|lost|left) MY job", "I (got|was) (fired|laid_off|let_go)")),
    Field(
        "children",
        "k",
        state=(
            "I HAVE V (beautiful|lovely|little|young|grown)? (kids|children)",
            "I AM (a|the) * (mother|father|mom|mum|dad) of V",
        ),
    ),
)
