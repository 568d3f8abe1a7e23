"""The built-in corpus: reviews from a small grammar, whose sentiment is a matter of order.

It is the offline default and a test of memory at once. A bag of words or of n-grams learns next to
nothing from it: praise and blame are as frequent in one class as in the other, up to a small lean
(see below). What decides is which verdict counts, for it may be denied, conceded, quoted from
somebody else, overruled, or taken back many sentences later.

A review is a latent `Plan` and a rendering of it. The plan alone fixes the label; the rendering
draws the words. In the grammar below, `1` and `2` are verdicts ("the plot is rather dull from start
to finish"). The second is always the opposite of the first in polarity and in degree.

    review  ::= kind, with two or three fillers before and after it
    gap     ::= filler, one to four times
    verdict ::= subject is degree adjective tail

    kind              text                                                         what counts
    plain             1.                                                           the first
    affirmed          I would say that 1.                                          the first
    not only          Not only is 1, but the same goes for the music.              the first
    denied            I would not say that 1.                                      not the first
    confirmed         1. gap I stand by what I wrote at the start.                 the first
    retracted         1. gap I take back what I wrote at the start.                not the first
    contrast          1. gap But what matters more is that 2.                      the second
    concession        1. gap It hardly matters that 2.                             the first
    conceded first    It hardly matters that 1. gap 2.                             the second
    hearsay first     The critics told us that 1. gap 2.                           the second
    hearsay last      1. gap The critics told us that 2.                           the first
    although first    Although 1, 2.                                               the second
    although last     1, although 2.                                               the first
    balanced          1. gap It weighs exactly as much that 2. (five classes)      neither

With two classes the label is the polarity of the verdict that counts, and the opposite polarity for
"not the first". With five the degree matters too: "thoroughly dull" is very negative and "rather
dull" negative. "Not the first" is mild whatever the degree, as in English: "I would not say that it
is thoroughly dull" is faint praise.

Why n-grams are blind: the cue that decides ("not", "but", "although", "take back") stands at least
four words before the adjective or four words after it, and is drawn independently of the polarity.
The lean is in the weights of `KINDS`: about a quarter of the reviews are plain. They are a
network's first foothold (without them it stays at chance for five epochs instead of one) and the
linear model's whole gain.

Measured on 2,000 test texts after 12,000 (seeds 1 and 0, two classes): TF-IDF and logistic
regression 64.5 % with words, 62.9 % with 1-2-grams, 60.0 % with 1-3-grams; a bidirectional LSTM
(PyTorch, 64 units, embedding 48, Adam 3e-3, batch 32, max and mean pooled) 99.4 % after 3 epochs
and 16 s on one core, 100.0 % after 4.
"""

import re
from typing import Literal, NamedTuple

import numpy as np

CLASS_NAMES = ("negative", "positive")  # label 0, label 1, as IMDB
FIVE_CLASS_NAMES = ("very negative", "negative", "mixed", "positive", "very positive")


class Kind(NamedTuple):
    """One way of arranging verdicts: its text, which of them counts, how often it is drawn."""

    template: str
    counts: Literal["first", "second", "not first", "neither"]
    weight: int


class Plan(NamedTuple):
    """The latent structure of one review: it fixes the label and leaves the words open."""

    kind: str  # a key of KINDS
    praise: bool  # the first verdict praises, and the second, if there is one, blames
    strong: bool  # the first verdict is of a strong degree, and the second of a mild one


# The clause is spelled out in each template, because English inverts it after "not only".
KINDS = {
    "plain": Kind("<subject> <is> {first}.", "first", 16),
    "affirmed": Kind("<affirm> that <subject> <is> {first}.", "first", 4),
    "not only": Kind("Not only is <subject> {first}, but <likewise> <subject>.", "first", 4),
    "denied": Kind("<deny> that <subject> <is> {first}.", "not first", 5),
    "confirmed": Kind("<subject> <is> {first}. <gap> <confirm>.", "first", 5),
    "retracted": Kind("<subject> <is> {first}. <gap> <retract>.", "not first", 4),
    "contrast": Kind(
        "<subject> <is> {first}. <gap> <overrule> that <subject> <is> {second}.", "second", 5
    ),
    "concession": Kind(
        "<subject> <is> {first}. <gap> <concede> that <subject> <is> {second}.", "first", 5
    ),
    "conceded first": Kind(
        "<concede> that <subject> <is> {first}. <gap> <subject> <is> {second}.", "second", 3
    ),
    "hearsay first": Kind(
        "<hearsay> that <subject> <is> {first}. <gap> <subject> <is> {second}.", "second", 3
    ),
    "hearsay last": Kind(
        "<subject> <is> {first}. <gap> <hearsay> that <subject> <is> {second}.", "first", 5
    ),
    "although first": Kind(
        "<although> <subject> <is> {first}, <subject> <is> {second}.", "second", 4
    ),
    "although last": Kind(
        "<subject> <is> {first}, <although> <subject> <is> {second}.", "first", 4
    ),
    "balanced": Kind(
        "<subject> <is> {first}. <gap> <balance> that <subject> <is> {second}.", "neither", 8
    ),
}


def _phrases(text: str) -> tuple[str, ...]:
    """Splits a block of text into phrases: at the slashes, with white space folded."""
    return tuple(" ".join(phrase.split()) for phrase in text.split("/"))


# symbol -> its phrases, separated by slashes; <symbol> in a phrase is expanded in turn. The words
# of verdicts (strong, mild, praise, blame) fit any subject, and nothing else uses them. Fillers do
# use "not", "but" and "although", where these decide nothing.

GRAMMAR = {
    "review": _phrases("""<kind> <filler>. <filler>. / <filler>. <kind> <filler>. /
        <filler>. <filler>. <kind> / <filler>. <kind> <filler>. <filler>."""),
    "gap": _phrases("""<filler>. / <filler>. <filler>. / <filler>. <filler>. <filler>. /
        <filler>. <filler>. <filler>. <filler>."""),
    "affirm": _phrases("""I would say / It is fair to say / I can honestly report /
        There is no doubt in my mind / I felt all along / Nobody could deny /
        It would be true to say / My impression was"""),
    "deny": _phrases("""I would not say / It is not fair to say /
        I cannot honestly report / There is no way to argue / I never felt for a moment /
        Nobody could claim / It would be false to say / At no point did I think"""),
    "likewise": _phrases("""the same goes for / the same is true of / so, as it happens, is /
        I would use the same words for / that description also fits"""),
    "confirm": _phrases("""I stand by what I wrote at the start / My opening verdict still holds /
        Having slept on it, I keep my first opinion / What I said above remains my view /
        On reflection, I was right at the outset /
        A second visit has confirmed what I first thought"""),
    "retract": _phrases("""I take back what I wrote at the start /
        My opening verdict no longer holds /
        Having slept on it, I reverse my first opinion / What I said above is no longer my view /
        On reflection, I was wrong at the outset /
        A second visit has overturned what I first thought"""),
    "overrule": _phrases("""But what matters more is / What counts in the end, however, is /
        Yet the thing that decides it for me is / All the same, my verdict rests on the fact /
        But far more important is the fact / What outweighs this, though, is"""),
    "concede": _phrases("""It hardly matters / It counts for very little / Never mind /
        It makes no difference to my verdict / I do not hold it important /
        My view is not changed by the fact / I attach no weight to the fact"""),
    "hearsay": _phrases("""The critics told us / My neighbour <name> insists /
        The poster outside promised / A man in the queue kept saying / The trailer suggested /
        I had read in the <newspaper> / According to <name>, everyone agrees /
        My <relative> had assured me"""),
    "balance": _phrases("""It weighs exactly as much / To precisely the same extent I feel /
        It counts just as heavily / Of equal importance is the fact"""),
    "although": _phrases("although / even though / in spite of the fact that"),
    "is": _phrases("is / is / remains / feels / comes across as / turns out to be"),
    "subject": _phrases("""the acting / the script / the dialogue / the direction / the music /
        the photography / the story / the lead performance / the pacing / the ending /
        the final act / the first hour / the production / the set design / the camera work /
        the plot / the editing / the romance / the supporting cast / the narration /
        the score / the central idea / the costume work / the middle section"""),
    "strong": _phrases("""thoroughly / completely / truly / wholly / profoundly / remarkably /
        supremely / deeply"""),
    "mild": _phrases("rather / fairly / somewhat / mildly / moderately / faintly"),
    "praise": _phrases("""charming / gripping / moving / delightful / engaging / inventive /
        elegant / absorbing / rewarding / enjoyable / impressive / graceful / satisfying /
        clever / appealing / refreshing / captivating / pleasing / compelling / imaginative /
        beautiful / memorable / skilful / enchanting / likeable / polished / exciting /
        thoughtful"""),
    "blame": _phrases("""dull / tedious / clumsy / dreary / boring / lifeless / shallow /
        irritating / stale / disappointing / tiresome / awkward / bland / unpleasant / feeble /
        hollow / trite / grating / sloppy / careless / forgettable / uninspired / lazy /
        annoying / lame / muddled / flat / crude"""),
    "tail": _phrases("""from the first scene to the last / for most of the running time /
        in nearly every scene / all the way through / by the standards of the genre /
        from start to finish / in both halves of the film / whenever the tempo drops /
        on the big screen / in this new version / for a work of this size /
        to anyone who pays attention / by the time the credits roll / at every single turn"""),
    "filler": _phrases("""The story follows <person> who <quest> in <place> /
        <name> plays <person>, and <name> plays <person> / It was shot in <place> over <span> /
        My <relative> and I saw it at <cinema> on <day> / There is a <book> by <name> with the
        same title / The screenplay is based on a <book> from <year> /
        <name> wrote the music, and <name> held the camera / I had not heard of <name> before /
        It is set in <place> during <period> / We sat in the <row> row, next to <person> /
        The director, <name>, used to be <person> / I will not give away how it ends /
        A train, a letter and <object> play a part in the plot / It opened here in <month> <year> /
        The version I saw had subtitles, but no overture / There is a scene with <object> in
        <place> / Halfway through, <person> finds <object> and leaves for <place> /
        <name> has made <number> films since <year> / The cast includes <name>, <name> and <name> /
        Although it was made in <year>, it was not released until <month> / It is in colour, but
        the scenes in <place> are in black and white / I watched it on <day> with <number> friends /
        Its budget was that of <number> films by <name> / The plot turns on <object> that belonged
        to <person> / Nobody in it ever says where <object> comes from / It was shown in <place>
        with <number> others / It is not a sequel, and there are no songs in it / The part of
        <person> was first offered to <name> / Before that, <name> worked in <place> for <span> /
        The camera never leaves <place> until <person> arrives / It runs until the end of <month> at
        <cinema> / Not everyone will know that <name> comes from <place>"""),
    "name": _phrases("""Anna Keller / Tom Bradley / Ruth Okafor / Victor Lind / Mei Tanaka /
        Carlos Vega / Nora Whitman / Pavel Novak / Irene Costa / Sam Hollis / Greta Holm /
        Idris Bello / Clara Dunn / Hugo Martin / Leila Nasser / Frank Osborne / Julia Santos /
        Erik Dahl / Rosa Marino / Peter Quill"""),
    "person": _phrases("""a retired boxer / a young widow / an accountant / a night watchman /
        a former nun / a travelling salesman / a country doctor / an ageing thief / a deaf pianist /
        a schoolteacher / a lighthouse keeper / a taxi driver / a runaway boy / an army cook /
        a judge / a discharged soldier / a botanist / a former spy / a nurse / a ferry captain"""),
    "quest": _phrases("""looks for a missing brother / inherits an old hotel / hides from the
        police / opens a small bakery / waits for a verdict / crosses the border at night / learns
        to fly / digs for silver / writes letters to a stranger / repairs clocks"""),
    "place": _phrases("""Lisbon / a mining town / northern Canada / the desert / Vienna /
        a village by the sea / Chicago / the Scottish islands / a monastery / Buenos Aires /
        an abandoned station / Kyoto / the suburbs / a prison camp / Naples / a boarding school"""),
    "object": _phrases("""a red suitcase / a stolen violin / an unsigned will / a broken radio /
        a map / a silver watch / a photograph / a locked drawer / a wooden horse / a key"""),
    "span": _phrases("""six weeks / two months / ninety days / half a year / a year /
        three winters / forty days / eleven weeks"""),
    "cinema": _phrases("""the Odeon / a small cinema near the river / the old Rex / a festival /
        the university / an open-air screening / the Regent"""),
    "day": _phrases("""a Monday / Tuesday night / a rainy Sunday / my birthday / Friday /
        Christmas Eve / a Thursday afternoon"""),
    "period": _phrases("""the war / the twenties / a long winter / the gold rush / a general strike
        / one summer / the last days of the empire"""),
    "book": _phrases("""stage play / short story / novel / radio drama / memoir"""),
    "newspaper": _phrases("""morning paper / weekly review / evening news / fan magazine"""),
    "relative": _phrases("brother / mother / colleague / cousin / uncle / flatmate / daughter"),
    "row": _phrases("front / second / fifth / last"),
    "month": _phrases("January / March / April / June / August / October / December"),
    "year": _phrases("1937 / 1948 / 1954 / 1961 / 1969 / 1975 / 1983 / 1992 / 1999 / 2006 / 2014"),
    "number": _phrases("two / three / four / five / seven / nine / eleven"),
}


class Dice:
    """Random integers from PCG64's raw words, the one stream NumPy promises never to change."""

    def __init__(self, seed: int):
        self._bits = np.random.PCG64(seed)
        self._words: list[int] = []

    def below(self, bound: int) -> int:
        """Draws an integer from 0 to bound - 1, uniform to within bound / 2**64."""
        if not self._words:
            self._words = self._bits.random_raw(4096).tolist()
        return self._words.pop() * bound >> 64


def draw_plan(dice: Dice) -> Plan:
    """Draws a kind by its weight, and the first verdict's polarity and degree by a coin each."""
    kinds = [name for name, kind in KINDS.items() for _ in range(kind.weight)]
    return Plan(kinds[dice.below(len(kinds))], bool(dice.below(2)), bool(dice.below(2)))


def plan_value(plan: Plan) -> int:
    """Says what a plan means: -2 (very negative) to 2 (very positive); 0 where neither counts."""
    polarity = 1 if plan.praise else -1
    return {
        "first": polarity * (2 if plan.strong else 1),
        "second": -polarity * (1 if plan.strong else 2),
        "not first": -polarity,
        "neither": 0,
    }[KINDS[plan.kind].counts]


def write_review(plan: Plan, dice: Dice) -> str:
    """Draws the words of a plan: the text of one review that means it."""
    degrees, polarities = ("<mild>", "<strong>"), ("<blame>", "<praise>")
    template = KINDS[plan.kind].template.format(
        first=f"{degrees[plan.strong]} {polarities[plan.praise]} <tail>",
        second=f"{degrees[not plan.strong]} {polarities[not plan.praise]} <tail>",
    )
    used: set[str] = set()

    def choose(symbol: str) -> str:
        """Draws a phrase, one not yet in this review while there is one."""
        phrases = [phrase for phrase in GRAMMAR[symbol] if phrase not in used] or GRAMMAR[symbol]
        phrase = phrases[dice.below(len(phrases))]
        used.add(phrase)
        return phrase

    def expand(text: str) -> str:
        return re.sub(r"<(\w+)>", lambda symbol: expand(choose(symbol[1])), text)

    text = expand(choose("review").replace("<kind>", template))
    text = re.sub(r"(^|\. )(\w)", lambda start: start[1] + start[2].upper(), text)
    return re.sub(r"\. ", lambda end: end[0] if dice.below(8) else ".<br /><br />", text)


def generate_reviews(count: int, *, seed: int, classes: int = 2) -> tuple[list[str], np.ndarray]:
    """Writes labelled reviews: the same bits for the same arguments, on any machine.

    Args:
        count: how many reviews, 0 or more.
        seed: 0 or more. Training and test texts are made from different seeds.
        classes: 2 (`CLASS_NAMES`) or 5 (`FIVE_CLASS_NAMES`).

    Returns:
        The texts, 20 to 130 words each, and their labels, int32 [count]. Every class is equally
        frequent, up to rounding, in an order drawn from the seed.

    Raises:
        ValueError: an argument is not an integer, or not in its range.
    """
    count = _integer("count", count)
    dice = Dice(_integer("seed", seed))
    if _integer("classes", classes) not in (2, 5):
        raise ValueError(f"classes must be 2 or 5, got {classes}")

    labels = [index % classes for index in range(count)]
    for last in range(count - 1, 0, -1):  # Fisher and Yates's shuffle
        other = dice.below(last + 1)
        labels[last], labels[other] = labels[other], labels[last]

    texts = []
    for label in labels:
        plan = draw_plan(dice)
        while _label(plan, classes) != label:
            plan = draw_plan(dice)
        texts.append(write_review(plan, dice))
    return texts, np.asarray(labels, np.int32)


def _label(plan: Plan, classes: int) -> int | None:
    """The label of a plan; None for a balanced one where there are only two classes."""
    value = plan_value(plan)
    if classes == 5:
        return value + 2
    return None if value == 0 else int(value > 0)


def _integer(name: str, value: object) -> int:
    """Checks that an argument is an integer of 0 or more (NumPy's will do, a bool will not)."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be an integer of 0 or more, got {value!r}")
    return int(value)
