"""The words of the book's universe: places, events with their details, names. None of them occurs inside another.

Details are composed: each family of events has verb phrases and objects of which every pair makes sense.
"""

from __future__ import annotations

from remanence.scenarios.values import MEN, WOMEN


def _table(text: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split("|"))


PLACES = _table(
    """
    Amberley Hall | Copper Lantern Hall | Saint Orrin Hall | Weavers Hall | Drumlin Hall | Saltmarsh Library |
    Northgate Library | Ferncliff Library | Old Mint Library | Pilgrim Library | Hanging Bridge | Tollkeeper Bridge |
    Marigold Bridge | Seven Arches Bridge | Coldwater Bridge | Juniper Park | Cannonfield Park | Heron Park |
    Millpond Park | Larkspur Park | Saddlers Market | Night Barge Market | Corn Exchange Market | Fishwife Market |
    Tinsmith Market | Harrow Central Station | Quayside Station | Upper Vale Station | Lamplighter Station |
    Junction Nine Station | Gilded Owl Theatre | Riverlight Theatre | Masquerade Theatre | Little Crown Theatre |
    Paper Moon Theatre | Clockmakers Museum | Whaling Museum | Museum of Borrowed Things | Glass Museum |
    Postal Museum | Anchor Quay | Tobacco Quay | Sugarhouse Quay | Widows Quay | Lantern Quay | Kestrel Observatory |
    Moorland Observatory | Skylark Observatory | Zenith Observatory | Pale Comet Observatory | Orchid Gardens |
    Walled Gardens | Monks Gardens | Terrace Gardens | Bittersweet Gardens | Saint Agnes Chapel | Sailors Chapel |
    Hilltop Chapel | Ironwood Chapel | Chapel of the Bells | Riverside Stadium | Greyhound Stadium | Foundry Stadium |
    Victory Stadium | Eastfield Stadium | Windlass Mill | Paper Mill | Flaxen Mill | Two Rivers Mill | Abbey Mill |
    Signal Tower | Water Tower | Crooked Tower | Ravens Tower | Beacon Tower | Harbour School | Briar Lane School |
    Cooper Street School | Meadow School | Stonecutters School | Velvet Cafe | Blue Kettle Cafe | Corner Table Cafe |
    Ember Cafe | Last Tram Cafe | Bandstand Pavilion | Rowing Pavilion | Tea Rose Pavilion | Cricket Pavilion |
    Summer Pavilion | Hotel Belvoir | Hotel Meridienne | Hotel of the Swans | Grand Pier Hotel | Hotel Astraea |
    Mulberry Square | Fountain Square | Scholars Square | Guildhall Square | Cathedral Square
    """
)

_FAMILIES = (
    (
        "Jazz Evening | Choir Rehearsal | Open Mic Session | Organ Recital | Folk Jam | Brass Band Parade | "
        "Opera Premiere | Piano Competition | Vinyl Listening Party | Drum Circle",
        "praised | recorded | argued about | asked to hear again | improvised around | wrote down | hummed along to | "
        "missed",
        "the closing chorus | an unfinished melody | the slow second movement | a borrowed chord | the last rhythm | "
        "an old lullaby | the unannounced solo | a tune from childhood | the broken refrain | the quietest passage",
    ),
    (
        "Chilli Contest | Wine Tasting | Bread Baking Course | Harvest Supper | Cheese Fair | Street Food Festival | "
        "Chocolate Workshop | Tea Ceremony | Oyster Banquet | Jam Making Class",
        "tasted | praised | passed around | refused | took a picture of | asked who had made | spilled | set aside",
        "the smoked pepper sauce | a plate of figs | the burnt crust | a jar of quince | the salted butter | "
        "a bowl of barley soup | the last dumpling | a pot of honey | the pickled plums | a slice of walnut cake",
    ),
    (
        "Physics Lecture | Fossil Exhibition | Robotics Demonstration | Star Gazing Party | Chemistry Fair | "
        "Medical Symposium | Weather Balloon Launch | Coding Marathon | Genetics Seminar | Inventors Forum",
        "explained | questioned | sketched | defended | measured | copied out | tested | disputed",
        "the main result | a faulty sensor | the error bars | an early prototype | the missing sample | "
        "a forgotten theorem | the second experiment | a strange reading | the cooling system | an elegant proof",
    ),
    (
        "Regatta | Marathon Run | Fencing Tournament | Chess Championship | Ice Skating Gala | Climbing Meet | "
        "Archery Contest | Bicycle Race | Swimming Relay | Wrestling Match",
        "cheered at | protested against | timed | foresaw | studied | commented on | replayed | laughed about",
        "the false start | a narrow finish | the final round | a daring overtake | the referee's call | "
        "a sudden fall | the youngest team | an old record | the longest rally | a lucky escape",
    ),
    (
        "Pottery Class | Quilting Bee | Woodcarving Course | Bookbinding Lesson | Glassblowing Show | Knitting Circle |"
        " Lace Exhibition | Blacksmith Demonstration | Calligraphy Evening | Basket Weaving Day",
        "repaired | admired | finished | ruined | traded away | unpicked | polished | labelled",
        "a cracked bowl | the crooked handle | a patterned border | the first attempt | a silver clasp | "
        "the unglazed tile | a tangled thread | the heavy frame | a tiny hinge | the practice piece",
    ),
    (
        "Charity Auction | Blood Drive | Clothes Swap | Soup Kitchen Opening | Refugee Benefit | Animal Adoption Day |"
        " Toy Collection | Fundraising Walk | Coat Appeal | Orphanage Visit",
        "counted | announced | doubled | organised | questioned the need for | carried in | thanked everyone for | "
        "wrote a note about",
        "the donations | a second collection | the sealed envelopes | an anonymous gift | the volunteers' lists | "
        "a box of blankets | the evening's total | a stack of pledges | the spare tickets | a late delivery",
    ),
    (
        "Startup Pitch | Trade Fair | Shareholder Assembly | Job Fair | Product Unveiling | Union Meeting | "
        "Property Viewing | Advertising Awards | Bank Anniversary | Export Conference",
        "negotiated | rejected | presented | signed | postponed | leaked | criticised | summarised",
        "the new contract | a risky merger | the quarterly figures | a revised budget | the delivery terms | "
        "a rival offer | the pension plan | a draft agreement | the pricing model | a hiring freeze",
    ),
    (
        "Shakespeare Reading | Puppet Show | Silent Film Night | Poetry Slam | Costume Ball | Magic Performance | "
        "Comedy Revue | Ballet Gala | Storytelling Hour | Documentary Screening",
        "applauded | mocked | rehearsed | translated | forgot | imitated | interrupted | recited",
        "the opening monologue | a tragic farewell | the duel scene | a whispered aside | the comic interlude | "
        "a famous curse | the closing couplet | a clumsy disguise | the balcony speech | a ghost's entrance",
    ),
    (
        "Bird Watching Walk | Tree Planting | Beekeeping Course | Beach Cleaning | Mushroom Hunt | Flower Show | "
        "Sheep Shearing | River Survey | Vegetable Swap | Butterfly Count",
        "spotted | catalogued | protected | photographed | pointed out | drew | searched for | reported",
        "a rare orchid | the hollow oak | a nest of wrens | the muddy tracks | a grass snake | the wild thyme | "
        "an injured hedgehog | the first swallows | a patch of clover | the old badger sett",
    ),
    (
        "Town Debate | School Reunion | Wedding Reception | Book Launch | Election Rally | Graduation Ceremony | "
        "Memorial Service | Language Exchange | Neighbourhood Picnic | Museum Night",
        "spoke about | remembered | apologised for | defended | wept over | joked about | asked about | wrote about",
        "the old quarrel | a lost friendship | the empty chair | a broken promise | the long winter | "
        "a secret engagement | the closed factory | a childhood dare | the stolen bicycle | an unanswered letter",
    ),
)

CONTENTS: tuple[str, ...] = tuple(content for contents, _, _ in _FAMILIES for content in _table(contents))

PHRASES: dict[str, tuple[str, ...]] = {
    content: tuple(f"{verb} {noun}" for verb in _table(verbs) for noun in _table(nouns))
    for contents, verbs, nouns in _FAMILIES
    for content in _table(contents)
}
"""All details that fit each content; the universe gives it thirty of them."""

FIRST_WOMEN = _table(
    "Adela | Bronwen | Cosima | Dorothea | Elspeth | Florence | Ginevra | Harriet | Isolde | Josephine | Lavinia | "
    "Mirabel | Nerys | Ottilie | Philippa | Rosamund | Seraphina | Tabitha | Ursula | Winifred"
)
FIRST_MEN = _table(
    "Alaric | Barnaby | Caspian | Desmond | Edmund | Fergus | Gideon | Horatio | Ignatius | Jasper | Lorcan | "
    "Montague | Nathaniel | Orlando | Percival | Quentin | Rupert | Silas | Thaddeus | Vincent"
)
LAST = _table(
    "Abernathy | Blackthorn | Cavendish | Delacroix | Everdell | Fairweather | Goldsmith | Hawthorne | Iverson | "
    "Jessop | Kingsley | Lockhart | Merriweather | Nightingale | Okonkwo | Pemberton | Quimby | Ravenscroft | "
    "Silverstone | Thackeray | Underhill | Vasquez | Whitlock | Yamamoto | Zielinski | Ashdown | Bellweather | "
    "Castellan | Drummond | Esterhazy | Fitzgerald | Greenaway | Hollingworth | Ivanova | Kowalczyk | Lindqvist | "
    "Marchetti | Novak | Oyelaran | Papadakis"
)

OTHER_FIRST = (*WOMEN, *MEN)
OTHER_LAST = tuple(
    stem + ending
    for stem in ("Brack", "Cald", "Dun", "Eller", "Fen", "Gar", "Hol", "Kirk", "Lang", "Mar")
    for ending in ("bourne", "by", "croft", "ford", "ham", "ley", "mere", "stead", "ton", "wick")
)
"""Names of those who are also there; no main character shares any part of them."""
