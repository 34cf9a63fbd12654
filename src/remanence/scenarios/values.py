"""The values that facts take. None occurs inside another of the whole table, whole words taken."""

from __future__ import annotations


def _table(text: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split("|"))


WOMEN = _table(
    """
    Ana | Lena | Marta | Ingrid | Yuki | Priya | Sofia | Nadia | Clara | Elif | Rosa | Hanna | Ines | Olga | Petra | Zoe
    | Amara | Beatriz | Dalia | Esther | Freya | Greta | Hilde | Imani | Jana | Katya | Leila | Maren | Noor | Oona |
    Paula | Quinn | Rania | Sanna | Tamar | Ulla | Vera | Wanda | Xenia | Yara | Zora | Astrid | Birgit | Carmen |
    Delphine | Edda | Fatima | Giulia
    """
)
MEN = _table(
    """
    Ivo | Tomas | Mateo | Anders | Kenji | Arjun | Luca | Omar | Felix | Emre | Hugo | Jonas | Pavel | Viktor | Rafael |
    Samir | Bruno | Cedric | Dario | Elio | Finn | Goran | Henrik | Ismail | Jakob | Kasper | Leif | Milan | Nils |
    Oskar | Pedro | Ragnar | Stefan | Timo | Ulrich | Vadim | Wim | Yannis | Zoltan | Alvaro | Bela | Carlo | Dmitri |
    Enzo | Farid | Gustav | Hamid | Igor
    """
)
CITIES = _table(
    """
    Lisbon | Oslo | Bergen | Porto | Ghent | Tallinn | Riga | Vilnius | Graz | Trieste | Bologna | Turin | Lyon | Nantes
    | Bilbao | Seville | Valencia | Krakow | Gdansk | Brno | Ljubljana | Zagreb | Split | Plovdiv | Cluj | Izmir |
    Antalya | Haifa | Tbilisi | Yerevan | Almaty | Kyoto | Osaka | Sapporo | Busan | Taipei | Hanoi | Chiang Mai |
    Penang | Cebu | Perth | Hobart | Wellington | Dunedin | Vancouver | Halifax | Montreal | Portland | Denver | Austin
    | Savannah | Oaxaca | Merida | Medellin | Quito | Cusco | Montevideo | Rosario | Valparaiso | Curitiba | Recife |
    Dakar | Accra | Nairobi | Kigali | Durban | Windhoek | Tangier | Rabat | Tunis | Malaga | Utrecht | Leiden | Aarhus
    | Odense | Turku | Tampere | Uppsala | Malmo | Reykjavik | Cork | Galway | Dundee | Bristol | Leeds | Basel | Lugano
    | Salzburg | Leipzig | Bremen | Freiburg | Tromso | Bodo | Trondheim | Stavanger | Umea | Kaunas | Lublin | Ostrava
    | Pecs | Varna | Kotor | Patras | Chania | Bari | Parma | Siena | Girona | Cadiz | Braga | Coimbra | Faro | Nancy |
    Dijon | Rennes | Namur | Bruges | Delft | Kassel | Erfurt | Ulm | Linz
    """
)
JOBS = _table(
    """
    beekeeper | optician | tax adviser | structural engineer | paediatric nurse | bookbinder | lorry driver | sommelier
    | speech therapist | glass blower | court interpreter | radio producer | crane operator | midwife | patent clerk |
    stage designer | marine biologist | locksmith | data analyst | pastry chef | piano tuner | geologist | librarian |
    air traffic controller | dental hygienist | florist | carpenter | physics teacher | paramedic | urban planner |
    sound engineer | translator | veterinarian | brewer | ceramic artist | insurance broker | museum guide |
    prosthetics maker | ski instructor | wine merchant | game designer | actuary | upholsterer | fire inspector |
    copy editor | land surveyor | podiatrist | customs officer | harbour pilot | baker | illustrator | auctioneer |
    pharmacist | violin maker | estate agent | social worker | archivist | roofer | statistician | zookeeper
    """
)
COMPANIES = _table(
    """
    Norrfjord Logistics | Bluefin Analytics | Castellan Bank | Halden Optics | Mirador Studios | Pinecrest Software |
    Verdant Foods | Quarry Robotics | Solveig Energy | Tamarind Travel | Ostara Pharma | Lumen Textiles | Ferrous Tools
    | Kestrel Airways | Brightwater Utilities | Juniper Publishing | Anvil Construction | Cobalt Insurance |
    Marram Shipping | Oakline Furniture | Saffron Catering | Drift Mobility | Polaris Dental | Hearth Bakeries |
    Zephyr Turbines | Meridian Maps | Sable Security | Thistle Cosmetics | Granite Legal | Willow Care |
    Argent Jewellers | Bramble Toys | Cinder Games | Delta Irrigation | Ember Heating | Fathom Sonar | Gable Architects
    | Hollow Records | Isthmus Cables | Jetty Seafood | Kiln Ceramics | Larch Paper | Monsoon Apparel | Nimbus Hosting |
    Orchard Juices | Pylon Telecom | Quill Stationers | Rampart Consulting | Sluice Engineering | Tundra Outdoor |
    Umber Paints | Vellum Press | Wharf Storage | Xylem Timber | Yarrow Tea | Zenith Clocks | Alder Clinics |
    Basalt Mining | Cornice Films | Dune Solar
    """
)
CARS = _table(
    """
    Skoda Fabia | Volvo V60 | Fiat Panda | Renault Clio | Dacia Duster | Toyota Yaris | Mazda MX5 | Honda Jazz |
    Peugeot 208 | Opel Corsa | Citroen Berlingo | Nissan Leaf | Kia Niro | Hyundai Kona | Ford Focus | Seat Ibiza |
    Subaru Forester | Suzuki Jimny | Tesla Model 3 | Polestar 2 | Mini Clubman | Saab 900 | Lada Niva | Jeep Renegade |
    Audi A3 | BMW i3 | Mercedes Vito | Volkswagen Caddy | Lancia Ypsilon | Alfa Giulietta | Cupra Born | Smart Forfour |
    Mitsubishi Colt | Land Rover Defender | Porsche Macan | Lexus UX | Chevrolet Bolt | Rover 75 | Trabant 601 |
    Daihatsu Copen | Jaguar XE | Range Evoque | Fiat Doblo | Renault Kangoo | Toyota Hilux | Volvo 240 | Peugeot Rifter
    | Opel Zafira | Ford Transit | Kia Soul
    """
)
DISHES = _table(
    """
    mushroom risotto | pad thai | lamb tagine | bibimbap | gnocchi | shakshuka | ramen | paella | moussaka | pierogi |
    feijoada | pho | chicken korma | fish tacos | ratatouille | borscht | goulash | laksa | okonomiyaki | dal makhani |
    ceviche | khachapuri | carbonara | onion soup | falafel | jollof rice | bouillabaisse | kimchi stew |
    aubergine parmigiana | dan dan noodles | potato gratin | empanadas | lasagne | miso salmon | pumpkin curry |
    spinach quiche | duck confit | tamales | gado gado | beef rendang | momos | couscous royale | lentil dahl |
    sauerkraut stew | saltfish fritters | fondue | cevapi | spanakopita | arepas | injera platter | nasi goreng | haggis
    | octopus salad | burek | udon | raclette | gumbo | pastel de nata | poutine | currywurst
    """
)
DRINKS = _table(
    """
    matcha latte | flat white | rooibos | earl grey | yerba mate | cortado | oolong | ginger shot | carrot juice |
    cold brew | kombucha | masala chai | espresso | jasmine infusion | hot chocolate | chicory coffee | lapsang | kefir
    | barley brew | nettle infusion | pomegranate juice | turmeric latte | buttermilk | sencha | mint infusion |
    oat cappuccino | celery juice | assam | hibiscus infusion | moka pot coffee
    """
)
INSTRUMENTS = _table(
    """
    cello | oboe | accordion | banjolele | double bass | bassoon | harp | clarinet | mandolin | trombone | viola |
    ukulele | bagpipes | sitar | french horn | marimba | theremin | piccolo | harpsichord | bouzouki | lute | tuba |
    vibraphone | didgeridoo | concertina | oud | zither | balalaika | saxophone | flute | euphonium | tabla | koto |
    hurdy gurdy | cornet | dulcimer
    """
)
LANGUAGES = _table(
    """
    Finnish | Portuguese | Japanese | Welsh | Arabic | Korean | Greek | Catalan | Turkish | Hungarian | Icelandic |
    Swahili | Vietnamese | Hebrew | Polish | Czech | Basque | Estonian | Georgian | Persian | Hindi | Romanian | Danish
    | Maltese | Armenian | Malay | Croatian | Lithuanian | Tamil | Ukrainian | Albanian | Bengali | Mongolian | Quechua
    | Irish | Slovene | Latvian | Tagalog | Zulu | Breton
    """
)
BOOKS = _table(
    """
    The Salt Cartographer | Winter in the Orchard | A Map of Small Rivers | The Clockmaker's Debt | Seven Quiet Rooms |
    Iron Meadow | The Last Ferryman | Letters to a Lighthouse | Paper Moonlight | The Ninth Beehive | Dust and Marigolds
    | Under a Copper Sky | The Borrowed Violin | Glass Harbour | The Weight of Feathers | Northbound Rain |
    A House of Foxes | The Silent Census | Amber Roads | Tomorrow's Cartilage | The Owl Accountant | Thirteen Bridges |
    Saltmarsh | The Unsent Parcel | Ashes of Linden | Orbit of Crows | The Glassblower's Niece | Low Tide Ledger |
    Velvet Quarantine | The Snow Registrar | Kingdom of Moths | Half a Compass | The Lantern Thief | Garden of Static |
    Bitter Almond Street | The Tenth Passenger | Whale Season | A Grammar of Stones | The Hollow Atlas |
    Nettle and Bone China | Concrete Swallows | The Blue Apprentice | Wolves at Matinee | Sundial Summer |
    The Forgetting Room | Cinnamon Border | Nine Hundred Steps | The Ferrous Heart | Midnight Allotment | Tin Cathedral
    | The Honest Smuggler | Marble Weather | Postcards from Nowhere | The Quiet Turbine | Raven Arithmetic | Peat Fire |
    The Invisible Choir | Orchid Frequency | Long Division of Love | The Tidewater Papers
    """
)
SERIES = _table(
    """
    Harbour Nine | Cold Allotment | The Quarry Files | Night Harbour | Gilded Rust | Station Zero | Minor Saints |
    The Interns of Room 12 | Borderlight | Sons of Tomorrow | Paper Crowns | The Ledger | Deep Frequency |
    Hotel Meridian | Crooked Spire | Salt and Vinegar Road | The Understudies | Glacier Law | Kin and Country |
    The Bakery Wars | Zero Hour Clinic | Moonbase Land's End | Foxglove | Iron Choir | The Third Landlord |
    Dead Reckoning Bay | Velvet Detectives | Orbital | Low Winter Sun | The Pickpocket Club | Parish Secrets |
    Ghost Platform | Silk Route Twelve | The Clever Widow | Fault Lines | Copper Valley | Tidebreakers | The Long Recess
    | Black Lagoon Bar | Second Violin | Undertow Falls | Marshal of Nothing | Empty Orchestra | Bright Ruin |
    The Night Notaries | Wolf Hour | Seawall | Counterfeit Summer
    """
)
SCHOOLS = _table(
    """
    Linden Park School | Saint Brigid School | Riverside School | Hawthorn Hill School | Kingfisher School |
    Northgate School | Maple Grove School | Old Mill School | Primrose Lane School | Harbour View School |
    Copperfield School | Stonebridge School | Willowbrook School | Emmy Noether School | Marie Curie School |
    Eastfield School | Birchwood School | Holly Tree School | Waterfront School | Sunnyside School | Cedar Court School
    | Montessori Plus School | Elmhurst School | Foxhill School | Greenacre School | Highcliff School | Ivy Bank School
    | Juniper Street School | Lakeside School | Meadowvale School
    """
)
ALLERGENS = _table(
    """
    kiwi | hazelnuts | cat hair | penicillin | birch pollen | shellfish | sesame seeds | latex | mango | bee stings |
    house dust | soy | strawberries | nickel | lupin flour | walnuts | celeriac | horse hair | mugwort | cashews |
    lanolin | egg white | aspirin | ragweed | peaches | mustard | buckwheat | wasp venom | pine nuts | ibuprofen |
    avocado | mould spores | lactose | hay pollen | squid | cobalt dye
    """
)
HOBBIES = _table(
    """
    bouldering | birdwatching | mosaic making | wild swimming | chess boxing | beekeeping courses | salsa dancing |
    woodturning | kite surfing | stargazing | crochet | fencing | geocaching | calligraphy | dragon boating |
    mushroom foraging | improv theatre | origami | archery | ice skating | model railways | paragliding | knitting |
    astrophotography | squash | soap making | bonsai growing | slacklining | orienteering | quilting | bell ringing |
    canoeing | lindy hop | metal detecting | sourdough baking | tai chi | trampolining | juggling | fly fishing |
    sketching | karaoke | badminton | blacksmithing | scuba diving | handball | bookbinding evenings | unicycling |
    cheese making | darts | macrame | snooker | cyclocross | felting | parkour | curling | falconry | candle making |
    ultimate frisbee | choir singing | letterpress
    """
)
INJURIES = _table(
    """
    sprained ankle | torn meniscus | tennis elbow | slipped disc | broken collarbone | pulled hamstring |
    frozen shoulder | cracked rib | stress fracture | jumper's knee | dislocated thumb | bruised hip | whiplash |
    heel spur | pinched nerve | torn ligament | fractured wrist | runner's toe | trapped sciatic nerve | golfer's elbow
    | chipped kneecap | strained calf | black eye | broken toe | swollen Achilles tendon | jaw inflammation |
    carpal tunnel syndrome | corneal scratch | burnt palm | stiff neck
    """
)
COMMUTES = _table(
    """
    tram | ferry | cargo bike | moped | night bus | folding bike | electric scooter | regional train | kayak |
    skateboard | metro | carpool | trolleybus | cable car | unicycle | roller skates | rowing boat | express coach |
    funicular | motorbike | recumbent bike | water taxi | monorail | tandem
    """
)
BANDS = _table(
    """
    The Velvet Tapirs | Glass Otters | Cassette Monks | Moth Parade | Northern Kettle | Saint Turbine | Paper Lions |
    Echo Bakery | Slow Elevator | The Tin Sisters | Harbour Ghosts | Neon Allotment | Plastic Cathedral | Ruby Static |
    Midnight Grocers | Salt Dogs | Copper Wolves | The Lost Umbrellas | Tidal Choir | Yellow Dentist | Arctic Cousins |
    Brass Pyjamas | Cloud Mechanics | Dusty Oracle | Electric Parsnip | Fjord Disco | Gravel Angels | Hollow Sundays |
    Indigo Tramlines | Jade Bicycle | Kitchen Sink Opera | Lemon Static | Marble Kids | Nocturnal Zoo | Orange Committee
    | Pocket Thunder | Quiet Riot Nuns | Rust Ballet | Sleeping Giraffes | Turbo Monastery | Umbrella Republic |
    Violet Cranes | Wooden Satellites | Xylo Hearts | Yesterday Machine | Zinc Garden | Apricot Engine | Bitter Postmen
    | Cardboard Dukes | Distant Aunts
    """
)
PLACES = _table(
    """
    animal shelter | soup kitchen | repair cafe | hospice | sea rescue station | night shelter | seed library |
    homework club | wildlife hospital | food bank | refugee centre | community orchard | toy library | crisis hotline |
    railway museum | blood bank | prison library | owl sanctuary | youth orchestra | bicycle kitchen | allotment society
    | lifeboat crew | village fire brigade | botanical garden | reading circle for the blind | turtle rescue |
    mountain rescue | charity shop | scout troop | open-air cinema | literacy project | dementia cafe | harbour museum |
    stray cat project | beach clean-up crew | meals on wheels round
    """
)
PHONES = _table(
    """
    Fairphone 5 | Pixel 8 | Galaxy S23 | iPhone 13 | Nokia 3310 | Xperia 10 | Moto G84 | OnePlus 11 | Zenfone 10 |
    Redmi 12 | Nothing Phone 2 | Honor 90 | Galaxy A54 | iPhone SE | Pixel 7a | Fairphone 4 | Jolla C2 | Oppo Reno 8 |
    Realme GT | Poco F5 | Vivo X90 | Cat S75 | Doro 8100 | Gigaset GS5 | Punkt MP02 | Light Phone 2 | Nokia 2720 |
    Shiftphone 8 | Huawei P60 | Emporia Smart 6
    """
)
SUBJECTS = _table(
    """
    organic chemistry | maritime law | first aid | bookkeeping | linear algebra | sailing licence | forklift |
    accounting standards | radio operator | food hygiene | project management | wine tasting diploma | ski patrol |
    anatomy | tour guide | welding | massage therapy | drone pilot | lifeguard | contract law | microbiology |
    sign language | hunting licence | network security | notary | beekeeping certificate | crane safety | music theory |
    macroeconomics | fire safety
    """
)
THINGS = _table(
    """
    standing desk | coffee grinder | bell tent | sewing machine | cast iron stove | telescope | leather sofa |
    bread oven | drum kit | projector | surfboard rack | pressure washer | air fryer | record player | hammock |
    chainsaw | loom | greenhouse | ping pong table | dehumidifier | piano stool | bunk bed | inflatable boat |
    trampoline | label printer | rowing machine | ice cream maker | wardrobe | lawn mower | pasta machine |
    weather station | sauna bench | bookcase | pottery wheel | hot tub | floor lamp | typewriter | wheelbarrow |
    mountain bike | chandelier
    """
)
PEAKS = _table(
    """
    Triglav | Galdhopiggen | Ben Nevis | Kebnekaise | Rysy | Musala | Snowdon | Teide | Etna | Piz Bernina |
    Grossglockner | Zugspitze | Olympos | Toubkal | Ararat | Kazbek | Fuji | Hallasan | Kinabalu | Rinjani | Mount Cook
    | Chimborazo | Huayna Potosi | Aconcagua | Mulhacen | Aneto | Pico Ruivo | Gran Sasso | Marmolada | Vogel | Korab |
    Moldoveanu | Gerlach | Sniezka | Lomnicky | Hoverla
    """
)
PETS = _table(
    """
    Biscuit: tortoise | Pickles: parrot | Waffles: beagle | Mochi: cat | Tofu: rabbit | Nacho: chihuahua |
    Figaro: tomcat | Pepper: spaniel | Ziggy: gecko | Bramley: guinea pig | Domino: dalmatian | Clementine: cat |
    Boris: hamster | Truffle: labrador | Gizmo: ferret | Marzipan: kitten | Snorri: Icelandic sheepdog | Pogo: terrier |
    Cleo: cockatiel | Noodle: corn snake | Sprout: hedgehog | Banjo: poodle | Juno: greyhound | Captain Blue: budgie |
    Olive: dachshund | Peanut: hamster | Rocket: whippet | Socks: cat | Tango: canary | Umbra: raven | Vesper: cat |
    Widget: rat | Yeti: husky | Zorro: collie | Brutus: mastiff | Bubbles: goldfish | Cosmo: cat | Dumpling: pug |
    Pixie: finch | Fudge: rabbit | Goblin: cat | Hobbes: tomcat | Iris: lizard | Jasper: setter | Kumquat: axolotl |
    Loki: malamute | Muffin: pony | Nimbus Grey: cat | Otto: duck | Popcorn: chinchilla | Quincy: bulldog | Rhubarb: hen
    | Crumpet: mouse | Turnip: donkey | Uno: parakeet | Velcro: gecko | Wombat: terrier | Xerxes: iguana | Yoda: frog |
    Zelda: shepherd
    """
)
TIMES = tuple(f"{minute}:{second:02d}" for minute in range(37, 67) for second in (4, 13, 27, 36, 48, 59))
RENTS = tuple(f"{amount} euros" for amount in range(512, 2400, 17))

KINDS: dict[str, str] = dict(entry.split(": ") for entry in PETS)
"""What kind of animal each pet is."""

POOLS: dict[str, tuple[str, ...]] = {
    "city": CITIES,
    "job": JOBS,
    "company": COMPANIES,
    "car": CARS,
    "dish": DISHES,
    "drink": DRINKS,
    "instrument": INSTRUMENTS,
    "language": LANGUAGES,
    "book": BOOKS,
    "series": SERIES,
    "school": SCHOOLS,
    "allergen": ALLERGENS,
    "hobby": HOBBIES,
    "injury": INJURIES,
    "commute": COMMUTES,
    "band": BANDS,
    "place": PLACES,
    "phone": PHONES,
    "subject": SUBJECTS,
    "thing": THINGS,
    "peak": PEAKS,
    "pet": tuple(KINDS),
    "time": TIMES,
    "rent": RENTS,
}
