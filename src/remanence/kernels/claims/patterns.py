"""All templates."""

from __future__ import annotations

from remanence.kernels.claims.patterns_body import BODY
from remanence.kernels.claims.patterns_happened import HAPPENED
from remanence.kernels.claims.patterns_home import HOME
from remanence.kernels.claims.patterns_people import PEOPLE
from remanence.kernels.claims.patterns_taste import TASTE
from remanence.kernels.claims.patterns_work import WORK

FIELDS = (*HOME, *WORK, *PEOPLE, *TASTE, *BODY, *HAPPENED)
