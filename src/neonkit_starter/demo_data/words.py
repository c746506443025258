"""Names of demo people, and the matters that they write about.

Templates are filled word by word. Each noun and adjective begins with a consonant, so that
`a` fits.
"""

# ruff: noqa: SIM905  # a list literal would have a line for each word

GIVEN_NAMES = """
ada adil aisha akira amara amina anders anika arjun astrid aylin beatriz bela bilal bruno camila
carmen chidi chloe dalia daniel darya david diego dmitri elena elif emeka emil esra farid fatima
felix finn freya gabriel giulia grace hana hassan helena hiroshi ida ines ingrid ivan jamal jana
javier jonas josefa julia kamal karin kenji khadija lars laura layla leila liam linh lucia luis
magnus malika marco maria mateo mei mina nadia naomi nikolai nina noah noor olga omar paula pavel
priya rafael rania ravi rosa samir sara selma sofia sven tariq teresa thabo tomas ursula vera viktor
wei yara yusuf zoe
""".split()

FAMILY_NAMES = """
abara adeyemi aguilar ahmed almeida andersen antonov aoki arslan bakker barros becker berg bianchi
blanc bondar brandt calder castillo chen costa cruz dahl delgado diallo dimitrov duarte eriksen
farah ferrari fischer fontaine fournier fujita garcia georgiou ghosh gomez greco gupta haddad hansen
hoang horvat hussain ibarra ito ivanova jansen joshi kaplan karlsson kaya keller khan kim kovac
kowalski kumar laine larsen lehmann lindgren lopez malik marin mendes meyer moreau mori morris
mwangi nakamura navarro nguyen novak nowak ochoa okafor olsen ortega osei park patel pereira petrov
popescu quintero rahman ramos reyes ricci rossi saito salazar santos sato schmidt sharma silva singh
""".split()

WORDS = {
    "noun": """
baker ballad bicycle bridge cabin calendar camera candle canal castle cellar ceremony chapel choir
circus clock coastline compass conversation cottage deadline diary dictionary drawing fable factory
ferry festival field forest fountain garden glacier guitar harbour harvest heron holiday house
kitchen ladder landscape lantern letter library lighthouse map market meadow melody mirror mountain
museum neighbour notebook novel painting path photograph piano picnic planet poem postcard printer
railway recipe river rooftop sailor school shadow shelter signal staircase station stone storm story
street summer table teacher theatre thunderstorm timetable tower tradition valley village violin
voyage waterfall window winter workshop
""".split(),
    "adjective": """
bitter bold brief bright broken calm careful cheap clever cold complete curious dark deep delicate
distant dusty familiar famous fine foreign forgotten formal fragile friendly gentle golden good
green hidden hollow humble large late lively local lonely long lost loud lucky modern modest muddy
narrow noisy patient perfect plain pleasant private proper proud public quiet rare restless rough
rural sharp shy silent silver simple slow small soft stubborn sunny surprising sweet tall tender
thin tiny torn useful warm weary wide wild wooden young
""".split(),
    "verb": """
borrowed bought built carried changed cleaned copied counted described discovered drew followed
found fixed forgot guarded heard hid ignored kept left loved measured mentioned missed moved named
noticed opened painted passed planned praised promised questioned recognised remembered repaired
returned saved searched sketched sold studied trusted visited watched
""".split(),
    "person": """
aunt brother captain carpenter colleague cousin daughter doctor driver editor farmer father
fisherman friend gardener grandmother guide journalist librarian mayor mechanic mother musician
nurse pilot poet postman sister stranger student tailor uncle
""".split(),
    "place": """
Bergen Bilbao Cork Dakar Ghent Graz Hanoi Kyoto Lagos Leipzig Lima Lisbon Lund Malmo Minsk Nairobi
Naples Porto Quito Riga Seville Tbilisi Tromso Utrecht Vilnius Zagreb
""".split(),
    "time": """
yesterday|last week|last summer|in the morning|after the rain|before dinner|on a Sunday|years ago
|at midnight|in early spring|during the holidays|on the way home|the day before|in the end
|for the first time|once again|all winter long|between two meetings
""".replace("\n", "").split("|"),
}

TITLES = (
    "A {adjective} {noun} in {place}",
    "How the {person} {verb} a {noun}",
    "In praise of the {adjective} {noun}",
    "Letter from {place}",
    "My {person} and the {noun}",
    "Notes on a {noun}",
    "Of {adjective} things: the {noun}",
    "The {adjective} {noun}",
    "The {noun} and the {noun}",
    "The {person} from {place}",
    "What the {noun} taught my {person}",
    "Why I {verb} the {noun} {time}",
)

SENTENCES = (
    "A {adjective} {noun} is worth more than a {adjective} {noun}.",
    "I {verb} the {noun} {time}, and my {person} {verb} the rest.",
    "In {place} every {noun} looks like a {adjective} {noun}.",
    "It was a {adjective} {noun}, and nobody {verb} it.",
    "My {person} {verb} a {adjective} {noun} near {place} {time}.",
    "Nobody in {place} {verb} the {noun} better than our {person}.",
    "Since then the {noun} has been {adjective}, the {noun} {adjective}.",
    "That {noun} belongs to the {person} whom I met in {place} {time}.",
    "The {person} said that the {noun} was too {adjective} for a {noun}.",
    "There is a {noun} behind the {noun}, {adjective} and {adjective}.",
    "We {verb} the {noun} and {verb} the {adjective} {noun} {time}.",
    "What we {verb} {time} was the {noun}, not the {noun}.",
)
