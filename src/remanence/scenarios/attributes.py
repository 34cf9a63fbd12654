"""All attributes and happenings by key."""

from __future__ import annotations

from remanence.scenarios.attributes_daily import DAILY
from remanence.scenarios.attributes_life import LIFE
from remanence.scenarios.attributes_taste import TASTE
from remanence.scenarios.happenings import AHEAD, PAST
from remanence.scenarios.phrases import Attribute, Happening

ATTRIBUTES: dict[str, Attribute] = {attribute.key: attribute for attribute in (*DAILY, *TASTE, *LIFE)}
HAPPENINGS: dict[str, Happening] = {happening.key: happening for happening in (*PAST, *AHEAD)}

RELATIONS = tuple(attribute for attribute in ATTRIBUTES.values() if attribute.person)
PERSONAL = tuple(attribute for attribute in ATTRIBUTES.values() if not attribute.person)
SHARED = tuple(attribute for attribute in PERSONAL if not attribute.speakers_only)
"""What is also said of people who do not speak themselves."""
