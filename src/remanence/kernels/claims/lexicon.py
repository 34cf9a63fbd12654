"""Short lists of words by which values are told from other words (lower case)."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


EMPTY = _words(
    """
    it that this them these those you me us him her they he she we i one ones so what how when where why there here not
    more much many lot lots bit everything something nothing anything all some any both none other others same such
    way thing things stuff kind sort time times day days place point idea kinda really very too well as if like able
    sure sorry fine good great ok okay done back home ready exam exams test away by out through
    """
)
"""Words that a value does not begin with."""
MAY_OPEN = _words("good great fine more much same able back home day time place other exam test")
"""Those of them that are no value by themselves but may open one ("home cooking")."""
BARE = EMPTY | _words("the a an new next last old first second")
"""Words that are no value by themselves."""
DISCOURSE = _words(
    """
    actually well so and but oh honestly anyway then now guess yes yeah no after before when since while if because
    though although once until
    """
)
"""Words that open a sentence with a capital and belong to no name."""
POINTING = _words(
    """
    it that this these those them you your my our his her their me us him how what when where why so being seeing
    hearing getting having knowing every both doing going each
    """
)
"""Words that make a phrase point at something said before or at somebody present."""
VAGUE = _words(
    "work energy vibe vibes support idea ideas feeling people sound look enthusiasm attitude life detail details"
)
REMARKED = _words("idea way beginning first part look fact concept thought direction sound end ending rest last")
"""Nouns after "the" by which one comments on something said."""
OUTDOORS = _words("beach ocean sea outdoors mountains rain sun snow theatre theater cinema countryside sunshine woods")
"""Nouns that take "the" without pointing at a certain one."""
NO_AIM = _words(
    """
    make keep it up work happen going go try check out give a shot see goes how pushing staying stay positive determined
    best need do my that this things thing the and to be on with for them get through some more better hard working
    fighting moving forward ahead grinding good great look into find let know say tell you your all talk about think
    take care have fun enjoy miss honest future in if
    """
)
"""Words of which aims without content are made ("make it work")."""

INSTRUMENTS = _words(
    """
    cello oboe accordion banjolele banjo bass bassoon harp clarinet mandolin trombone viola violin ukulele bagpipes
    sitar horn marimba theremin piccolo harpsichord bouzouki lute tuba vibraphone didgeridoo concertina oud zither
    balalaika saxophone sax flute euphonium tabla koto gurdy cornet dulcimer guitar piano drums drum keyboard keyboards
    trumpet harmonica organ recorder fiddle xylophone synthesizer cajon bongos djembe kalimba handpan lyre erhu guzheng
    """
)
BODY = _words(
    """
    ankle knee elbow wrist shoulder back leg arm foot toe finger thumb hip rib hamstring calf neck hand meniscus nose
    collarbone achilles acl groin quad heel
    """
)
INJURIES = BODY | _words(
    """
    disc whiplash spur nerve ligament kneecap eye tendon inflammation syndrome scratch palm concussion hernia sprain
    strain bruise burn tear blister tendinitis tendonitis bursitis sciatica splints fracture
    """
)
HURT = re.compile(
    r"\b(?:sprained|torn|slipped|broken|pulled|frozen|cracked|stress|dislocated|bruised|pinched|fractured|trapped"
    r"|chipped|strained|black|swollen|burnt|stiff|runner's|jumper's|tennis|golfer's|carpal|herniated|twisted|injured"
    r"|sore|bad|busted|hurt|whiplash|hernia|concussion|shin)\b",
    re.IGNORECASE,
)

NOT_PASTIMES = _words(
    """
    king ring thing nothing something anything everything being going having doing seeing getting making wedding
    building evening morning during meaning feeling trying looking hearing knowing thinking saying taking coming bring
    spring string wing ceiling talking volunteering teaching learning using studying helping selling dating reading
    asking telling wondering hoping waiting planning working
    """
)
"""Words in -ing that do not open the name of a pastime."""
NOT_IN_PASTIMES = _words(
    """
    people here how it my our his her their your the with at about them him me us you there more to own this that what a
    an as again
    """
)
NOT_TAKEN_UP = _words("space time room residence job position offer challenge cause")
