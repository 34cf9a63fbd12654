"""How people's bodies fare."""

from __future__ import annotations

from remanence.kernels.claims.templates import Field

_BEST = "(best_time|personal_best|pb)"
_TEN = "(ten_kilometres|ten_kilometers|10k|ten_k|10_km)"

BODY = (
    Field(
        "allergy",
        "p",
        state=(
            "I AM (badly|severely|highly|very|quite|slightly|mildly|deathly)? allergic to V",
            "things I AM allergic to: V",
            "MY allergy test came back positive for V",
            "I HAVE (a|an) (severe|bad|mild)? V allergy",
            "I HAVE (a|an) (severe|bad|mild)? allergy to V",
            "(one_contact|contact) with V and MY face",
            "I (carry|carries) an emergency pen because of V",
            "the doctor put V on MY red card",
        ),
        change=(
            "turns out MY allergy includes V",
            "+another one for the red card: V. I spent",
            "another one for the red card: V",
            "!T? V also makes? ME itch",
            "now V also makes? ME itch",
            "I (developed|got|have_developed|has_developed) (a|an)? allergy to V",
        ),
        end=(
            "I AM no longer allergic to V",
            "MY new test says V is no problem",
            "good news from the lab: V may be crossed off MY red card",
            "I AM not allergic to V (any_more|anymore)",
        ),
        deny=("I AM not allergic to V",),
    ),
    Field(
        "injury",
        "p",
        state=(
            "the injury I AM dealing with is (a|an) V",
            "I HAVE an injury: (a|an) V",
            "I HAVE (a|an) V, * weeks the doctor says",
            "I got (a|an) V out of it",
            "I cannot carry ** for a while, (a|an) V",
            "ice packs and boredom: (a|an) V",
            "I AM (recovering_from|dealing_with|nursing) (a|an) V:x",
            "I HAVE (a|an) V:x",
            "I (broke|sprained|tore|fractured|twisted|dislocated|pulled) MY V:b",
        ),
        change=(
            "the old injury is fine, but I AM dealing with (a|an) V",
            "I HAVE a new injury (to_be_dealing_with)? T?: (a|an) V",
            "no more OLD, but I got (a|an) V",
            "as soon as the OLD had healed, I fell over the * T?: (a|an) V",
            "I got (a|an) V:x",
        ),
        end=(
            "MY injury is gone, I AM no longer dealing with the V",
            "(the|my|his|her) V has healed",
            "the physio sent ME home T? and said the V is as good as new",
            "I HAD recovered from (the|my) V",
        ),
    ),
    Field(
        "run_time",
        "q",
        state=(
            f"MY {_BEST} (over|for|on) {_TEN} is V",
            f"(over|for|on) {_TEN} MY {_BEST} is V",
            "I ran (ten_kilometres|ten_kilometers|10k|a_10k|ten_k) in V",
            "MY best is V",
            "V on the watch at the finish",
            "the certificate above MY desk says V",
        ),
        change=(
            f"MY {_BEST} (over|for|on) {_TEN} is V now, not OLD",
            f"new {_BEST} (over|for|on) (ten_kilometres|ten_kilometers|10k) T?: V",
            "I ran V T?, faster than the old OLD",
            "OLD is history, I ran V",
            "+the frame above the desk needs a new certificate: V! I ** T",
            "the frame above the desk needs a new certificate: V",
            "the clock said V",
        ),
    ),
    Field(
        "condition",
        "p",
        state=(
            "I HAD been diagnosed with V",
            "I (was|am|is|got|were) diagnosed with V",
            "I suffers? from V",
            "I HAVE V:c",
        ),
    ),
)
