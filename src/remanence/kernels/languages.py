"""Small word lists by language: which language is a text in Latin letters written in, and what says nothing in English.

The function words were chosen so that no list holds a common English word or given name (``die``, ``come``, ``per``,
``ben``); two of them in an English sentence are rare. Danish stands for written Norwegian too, which shares nearly all
of its function words and endings.
"""

from __future__ import annotations

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "french": """
            le la les des du de et est une dans qui que quoi pas sur avec ne ce cette ces je tu il elle nous vous
            ils elles mon ma mes ta tes sa ses notre votre leur leurs où ou mais donc quand comment pourquoi suis
            sont étais était étaient ai avons avez ont été être avoir fait au aux très aussi bien alors encore chez
            depuis toujours jamais rien quel quelle quels parce j'ai c'est n'est d'un d'une qu'il qu'elle
        """,
        "german": """
            der das und ist ich nicht ein eine einen einem einer eines mit auf für von zu zum zur dem sich auch es
            sie wir ihr mein meine meinen meiner dein deine sein seine seinen ihre ihren wo wer wie wann warum
            welche welcher welches bin bist sind waren habe haben hatte hatten wird werden wurde wurden kann können
            aber oder wenn weil dass daß nach bei beim vom im am über unter noch nur schon sehr immer heute gestern
            morgen mich dich uns euch ihm ihn diese dieser dieses kein keine gibt
        """,
        "spanish": """
            el la los las una unos unas de del y en que qué es por para su sus mi mis tu tus se lo le les nos al
            como cómo cuando cuándo dónde donde quién quien cuál pero porque más muy también ya está están estaba
            estoy fue soy eres somos tengo tiene tenía había esta este esto ese esa eso hoy ayer mañana sí nunca
            siempre hace yo él ella ellos nosotros ustedes
        """,
        "italian": """
            il lo la gli le uno una di del della dei delle dello degli e è che chi cosa con su nel nella nei sul
            sulla dal dalla al alla ma se quando perché mio miei mie tuo tua suo sua loro noi voi lui lei io sono
            sei siamo siete erano ho hai ha abbiamo hanno avevo aveva questo questa questi quello quella più molto
            anche ancora già sempre oggi ieri domani ci ne
        """,
        "portuguese": """
            o os um uma de da dos das e em na nos nas que é por com para pelo pela seu sua seus suas meu minha meus
            minhas teu tua ao aos à às não mais mas muito também como quando onde quem qual porque está estão estava
            estou foi eram são sou somos tenho tem tinha há isso isto esse essa este esta eu ele ela eles nós você
            vocês hoje ontem amanhã já sempre nunca ainda
        """,
        "dutch": """
            de het een en ik je jij hij zij ze wij jullie dat die niet met voor op te aan er zijn mijn jouw uw ons
            onze hun haar heb hebt heeft hebben hadden wordt worden werd bent waren naar bij uit ook maar als nog
            wel geen wat wie waar wanneer waarom hoe omdat deze dit daar altijd nooit gisteren vandaag morgen zou
            kan kunnen moet
        """,
        "swedish": """
            och att det som en ett är jag du hon vi ni inte på av för med från om var vad vem när hur varför har
            hade ska skulle kan kunde mig sig oss mitt mina din ditt dina sitt sina eller också mycket alltid
            aldrig idag igår imorgon detta denna dessa där här blev blir
        """,
        "danish": """
            og det som en et er jeg du hun vi ikke på af til fra om hvad hvem hvor hvornår hvordan hvorfor har havde
            skal skulle kan kunne mig sig os mit dit dine eller også meget altid aldrig dag går denne disse der blev
            bliver efter været nogle av hva når hadde meg deg seg oss mitt ditt mye alltid aldri ble blir etter vært
            noen
        """,
        "finnish": """
            ja ei se että hän minä sinä te ovat oli olivat olen olet mutta kun jos niin myös kuin mikä mitä missä
            milloin kuka miksi miten minun sinun hänen tämä nämä nyt aina koskaan tänään eilen huomenna kanssa
            mukaan minulla sinulla hänellä
        """,
        "polish": """
            na nie się jest że ja ty ona oni są był była było byłem byłam jestem mam ma czy jak gdzie kiedy kto co
            dlaczego ale lub oraz dla od po przez przy już tylko bardzo także też mój moja moje twój jego jej ich ta
            tego tej tym dzisiaj wczoraj jutro zawsze nigdy
        """,
        "turkish": """
            ve bir bu şu sen biz siz onlar için ile çok ama değil mi mı ne nerede nasıl neden niçin zaman kim hangi
            var yok gibi kadar daha en benim senin onun bugün dün yarın şimdi sonra önce oldu olan olarak
        """,
        "indonesian": """
            yang ke dari untuk dengan ini itu tidak saya kamu dia kami kita mereka adalah akan sudah telah bisa
            dapat pada juga atau karena apa siapa dimana kapan bagaimana mengapa sangat lebih hari kemarin besok
        """,
        "romanian": """
            și şi în este sunt pe cu din la de nu că ce cine unde când cum pentru mai au ai era eram dar sau foarte
            meu mea mei tău sau lui lor noi voi el ea ei azi ieri mâine acest această aceste
        """,
        "hungarian": """
            és az egy hogy nem volt vagyok ez ki mi hol mikor miért hogyan én te ő mi ti ők csak már még nagyon vagy
            ha de itt ott ma tegnap holnap nekem neked neki
        """,
        "czech": """
            na se je že jsem jsi jsou byl byla bylo ale nebo jak kde kdy kdo co proč pro od po při už jen velmi také
            můj moje tvůj jeho její jejich ta dnes včera zítra vždy nikdy není
        """,
        "catalan": """
            el la els les una uns unes de del dels i en que què és amb al quan qui però perquè més molt també ja
            està són era sóc meu meva teu seva avui ahir demà això aquest aquesta nosaltres
        """,
    }.items()
}

ENGLISH_MARKS: frozenset[str] = frozenset(
    """
    the and of is that it its it's for with you your yours my mine what where when who whom whose how why which did
    does doesn't didn't don't have has had having this these those they them their we our ours he she his her hers
    are were been being be but not from at by if or so than then there here i'm i've i'd i'll you're we're they're
    he's she's will would could should can can't about into over after before just like get got going go do an was
    in on me as up out all some any more very too also one two us no yes please
    """.split()
)
"""Words that speak for English when languages are told apart; a word of these counts for no other language."""

ISO_CODES: dict[str, str] = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "cs": "czech", "da": "danish", "nl": "dutch",
    "en": "english", "eo": "esperanto", "et": "estonian", "fi": "finnish", "fr": "french", "de": "german",
    "el": "greek", "hi": "hindi", "hu": "hungarian", "id": "indonesian", "ga": "irish", "it": "italian",
    "lt": "lithuanian", "ne": "nepali", "no": "norwegian", "nb": "norwegian", "nn": "norwegian", "fa": "persian",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "es": "spanish",
    "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
    # Cut into character pairs whatever the language; the Latin words among them are mostly English.
    "zh": "english", "ja": "english", "ko": "english", "th": "english", "lo": "english", "km": "english",
    "my": "english",
}  # fmt: skip

ELISIONS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "french": "l d j m t s n c qu jusqu lorsqu puisqu quoiqu",
        "italian": "l d un c m t s v n all dall dell nell sull coll quest quell dov com cos",
        "catalan": "l d m t s n",
    }.items()
}
"""What stands before an apostrophe and is dropped, by language."""

STOPWORD_FORMS: tuple[str, ...] = tuple(
    """
    a about after again all also am an and any are as at be because been before being between both but by can cannot
    could did do does doing down during each few for from further had has have having he her here hers herself him
    himself his how i if in into is it its itself just me more most my myself no nor not now of off on once only or
    other our ours ourselves out over own same she should so some such than that the their theirs them themselves
    then there these they this those through to too under until up very was we were what when where which while who
    whom whose why will with would you your yours yourself yourselves cant couldnt didnt doesnt dont hadnt hasnt
    havent isnt arent wasnt werent wont wouldnt shouldnt im ive id youre thats
    """.split()
)
"""English words that carry no content, as `words()` gives them."""

GRAMMATICAL_HAN: frozenset[str] = frozenset("的了是我你他她它在有和就不都也很这那吗呢啊吧呀么们个一這嗎麼們個")
"""Han characters too common in Chinese to be terms by themselves."""

NEVER_NAMES: frozenset[str] = frozenset(
    """
    i me my mine myself we us our ours you your yours he him his she her hers it its they them their theirs this that
    these those who whom whose what which when where why how the a an and or but nor so yet if then than as at by for
    from in into of off on onto out over to up with about is are was were be been being am do does did done have has
    had having can could shall should would must not no yes yeah yep nope ok okay oh ah aw aww hmm hm um uh wow woah
    whoa hey hi hello bye goodbye haha hahaha lol omg yay ugh thanks thank please sorry btw idk imo tbh asap fyi aka
    etc eg ie monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun
    january february march april may june july august september october november december jan feb mar apr jun jul aug
    sep sept oct nov dec today tomorrow yesterday tonight pm bc ad usd id ps im ive ill dont cant yup nah woohoo woo
    cheers oof oops ouch phew mm mmm awww gotcha kudos bummer hah heh aye huh yikes whoops voila
    """.split()
)
"""Words that are no names wherever they stand: function words, greetings, interjections, weekdays, months."""

ORDINARY_WORDS: frozenset[str] = frozenset(
    """
    able above absolutely accept according action actually add added additionally adorable adventure advice after
    afternoon again against age ago agree agreed ahead aim air airport album all allow almost alone along already
    alright also alternatively although always amazing among animal another answer any anybody anyhow anymore anyone
    anything anytime anyway anyways anywhere apart api app apparently apply appreciate arrive art aside ask asked
    assignment attend aunt author available avoid away awesome awful baby back bad balance base based basic basically
    basketball bathroom beach beautiful became because become bedroom before begin behind believe below besides best
    bet better between beyond big biggest bike bird birthday bit black blue body book books boss both bottom boy
    boyfriend boys brave bravo break breakfast bridge bring brother brown build bus busy buy cake call came camera
    camping car care career carefully case cat catch certainly chair challenge chance change chapter chat check
    checkout chef cherish chess choose city class classic clear clearly click close coach code coffee cold colleague
    come comes coming common community company compare complete computer concert conclude confident confirm congrats
    congratulations consider contact contemporary content continue conversation cook cookie cooking cool count country
    couple course cousin cozy crazy create creating css curious current cut cute dad daily damn dance dang dark data
    database date daughter day days dear decide dedication deep define definitely depending describe desk despite
    detail details developer different difficult dig dinner discover discuss display dive doctor dog dogs door double
    dream drink drive drop due during each early easier easy eat either elf else email emphasize encourage end enjoy
    enough ensure enter epic especially essay establish even evening event eventually ever every everybody everyone
    everything everywhere exactly exam example excellent except excited exciting expect experience experiment explain
    explore extra eye eyes face fact fair fall family fan fantastic fantasy far fast father favorite feel feeling
    feels felt festival few figure fill final finally find fine finger finish first fish fit five fix flight flower
    focus follow food fool football forest forget forgot former fortunately found four free fresh friend friends fun
    funny further future game games garden gather generally generate get gets girlfriend give given gives glad go god
    goes gonna good got gotta grab grandma grandpa great green ground group grow guess guitar guys half hand handle
    hang happen happens happy hard hardly hardware hate haven head health hear heard heart help helps hence here high
    highly hike hiking hold holiday home honestly hope hopefully horse hot hotel hour house however html huge human
    hundred hungry husband idea identify image imagine immediately implement important impressive improve include
    includes including incorporate incredible indeed initially injury input inside inspired instead interesting
    interview introduce island job join json jump just keep kept kid kids kind kinda kitchen know known label lake
    lamp laptop large last late lately later latest laugh lawyer lead learn least leave left less lesson let lets life
    light like likely link list listen literally little live location log long look looks lost lot lots love loved
    lovely low luckily lucky lunch made main maintain make makes man manager many mark maximum maybe meal mean means
    meanwhile meet meeting mental mention mentor met mind minimum miss mixed mom moment money monitor month more
    moreover morning most mostly mother mountain move movie much mum museum music name natural nature near nearly need
    neighbor neighbour neither never nevertheless new newest next nice night nobody none nonetheless normal normally
    note nothing notice novel now nowadays number nurse obstacle obviously ocean offer office often old once one ones
    only open optimize option order original other others otherwise output outside overall own page painting paper
    parent parents park part party past pasta pay people per perfect perhaps person personal personally pet phone
    photo pick picture piece pizza place plan plans plant play plenty plus poem poetry point poor possible possibly
    post pottery practice prepare present pretty previous printer prior probably problem proceed program project proud
    provide pull purpose push put quality question quick quickly quite random rather reach read ready real really
    reason recent recently recipe red regarding regardless regular relax remember remind remove replace reply report
    research respect rest restaurant result return review rich right river road rock room rough round run running safe
    said same save saw say says school score search second section see seeing seem seems seen select send server set
    setback seven several share she shift short show shows side similar similarly simple simply since single sister
    sit six size skip sleep slow small smart soccer sofa software some somebody someday somehow someone something
    sometime sometimes somewhere son song soon sort sound sounds source speak speaking special specific specifically
    spend spent sport spring sql stand star start started state station stay step stick still stop store story strange
    street strength strong struggle student study stuff stunning subject success such suddenly sugar suggest summer
    sun super support supposedly sure surely surprise surprisingly sweet swim switch table tablet tackle take taken
    takes taking talk teacher team teammate tell ten tennis terrible test text that thats theme then there therefore
    theres they thing things think third though thought thousand three through throughout throw thus tie till time
    times tip tips title together told too took top total totally touch tough tournament toward towards town track
    train travel tree tried trilogy trip true truly trust truth try turn turns turtle tv twice two type ultimately
    uncle unconditional under understand unfortunately unique unless unlike until upon use used useful user using
    usually vacation various veggie verify version very via video view village visit visual voice wait walk wanna want
    wanted wants warm was watch water way ways weather website wedding week weekend weekends weird welcome well went
    whatever whenever wherever whether while white whoever whole wife wild will window winter wish within without
    woman women wonder wonderful wonderfully word words work works world worry worse worst worth wouldnt wrap write
    writing wrong xml yea year years yoga young yours yum
    """.split()
)
"""English words that often begin a sentence; capitalised there, they say nothing."""
