"""An explanation as HTML: the words of a text, coloured by what they count."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple, Protocol

from lstm_jax.console import printable
from lstm_jax.explain.names import Method, Token
from lstm_jax.reports.escaped import escaped
from lstm_jax.reports.markup import document
from lstm_jax.reports.shares import percent

# How a method is called on a page, and what its colours say.
SAYINGS = {
    "ledger": "what each word wrote into the memory, as far as it reached the answer",
    "lrp": "the relevance that is passed back from the answer to each word",
    "decomposition": "what each word contributes by itself, in its context",
    "integrated_gradients": "what each word changes between an empty text and this one",
    "gradient_x_input": "how the answer changes when a word's vector is scaled",
    "occlusion": "how far the answer falls when the word is left out",
}

_STYLE = """
.lstm-words{font:16px/1.9 system-ui,sans-serif;max-width:62em;white-space:pre-wrap;
overflow-wrap:anywhere;margin:.4em 0 .2em;color:var(--ink,inherit)}
.lstm-words span{border-radius:3px;padding:.12em 0;background:rgba(var(--w),var(--a))}
.lstm-words .for{--w:31,95,168}.lstm-words .against{--w:194,84,27}
.lstm-words .unread{opacity:.45}
.lstm-about{font:14px/1.6 system-ui,sans-serif;opacity:.8;margin:.3em 0 1em;max-width:62em}
.lstm-about span{white-space:nowrap}
.lstm-about i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .3em 0 .8em}
@media(prefers-color-scheme:dark){
.lstm-words .for{--w:96,158,230}.lstm-words .against{--w:236,138,80}}
"""


class Explained(Protocol):
    """What of an explanation is shown; see `lstm_jax.explain.explanation.Explanation`."""

    @property
    def text(self) -> str: ...
    @property
    def class_name(self) -> str: ...
    @property
    def method(self) -> Method: ...
    @property
    def tokens(self) -> Sequence[Token]: ...
    @property
    def probability(self) -> float: ...
    @property
    def logit(self) -> float: ...
    @property
    def base(self) -> float: ...
    @property
    def error(self) -> float | None: ...
    def words(self) -> list[tuple[str, float]]: ...


def fragment(explanation: Explained) -> str:
    """An explanation for a notebook: a piece of HTML with its own style."""
    return f"<style>{_STYLE}</style>{coloured(explanation)}{_about(explanation)}"


def explanation_page(explanations: Sequence[Explained], title: str) -> str:
    """A page of explanations that needs nothing else.

    Args:
        explanations: in their order.
        title: of the page, as text.

    Returns:
        HTML, in which everything from outside is escaped.
    """
    sections = [
        f"<header><p class='over'>{escaped(title)}</p></header>",
        f"<style>{_STYLE}</style>",
    ]
    for explanation in explanations:
        sections.append(
            f"<section><h2>{escaped(explanation.class_name)}"
            f" {escaped(percent(explanation.probability))}</h2>"
            f"{coloured(explanation)}{_about(explanation)}</section>"
        )
    return document(title, sections)


class Piece(NamedTuple):
    """A part of a text as it is shown: a token, or what stands between two.

    Attributes:
        text: with what could steer a terminal written out; line breaks stay.
        token: None between two.
        share: of the largest score, in [-1, 1]; None of what has no score.
    """

    text: str
    token: Token | None = None
    share: float | None = None


def pieces(explanation: Explained) -> Iterator[Piece]:
    """The whole text in pieces."""
    text, at = explanation.text, 0
    largest = max((abs(score) for _, score in explanation.words()), default=0.0) or 1.0
    for token in explanation.tokens:
        if token.end <= token.start:
            continue
        yield Piece(_plain(text[at : token.start]))
        at = max(at, token.end)
        share = None if token.score is None else token.score / largest
        yield Piece(_plain(text[token.start : token.end]), token, share)
    yield Piece(_plain(text[at:]))


def coloured(explanation: Explained) -> str:
    """The text as HTML, each word coloured by its score; a pointer on it shows the number."""
    return f'<p class="lstm-words">{"".join(map(_coloured, pieces(explanation)))}</p>'


def _coloured(piece: Piece) -> str:
    text = escape(piece.text)
    if piece.token is None:
        return text
    if piece.share is None:
        return f'<span class="unread" title="not read">{text}</span>'
    side = "for" if piece.share >= 0 else "against"
    style = f"--a:{0.6 * abs(piece.share):.3f}"
    return f'<span class="{side}" style="{style}" title="{piece.token.score:+.3f}">{text}</span>'


def _about(explanation: Explained) -> str:
    name = escaped(explanation.class_name)
    colours = (
        f'<span><i style="background:rgb(31,95,168)"></i>speaks for {name}</span>'
        f'<span><i style="background:rgb(194,84,27)"></i>speaks against it</span>'
    )
    return (
        f'<p class="lstm-about">{explanation.method}: {escaped(SAYINGS[explanation.method])}.'
        f" {colours}<br>"
        f"{escaped(sums(explanation))}</p>"
    )


def sums(explanation: Explained) -> str:
    """Whether the words add up to the answer, in a sentence."""
    total = sum(score for _, score in explanation.words())
    if explanation.error is None:
        return (
            f"The words sum to {total:+.3f}; the logit is {explanation.logit:+.3f}. This method"
            " does not promise that they agree."
        )
    if explanation.method == "decomposition":
        return (
            f"The logit is {explanation.logit:+.3f}. A word and the rest of its text add up to it"
            f" with an error of {explanation.error:.1e}."
        )
    return (
        f"words {total:+.3f}, biases and start {explanation.base:+.3f}: logit"
        f" {explanation.logit:+.3f}, missed by {explanation.error:.1e}"
    )


def _plain(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))
