"""`python -m lstm_jax explain`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.text import Text
from tyro.conf import Positional, arg

from lstm_jax.console import printable, say
from lstm_jax.data import Reading
from lstm_jax.explain.names import Method

# Of a file, so many texts are explained unless another number is given.
MOST = 20
_STRONGEST = 5  # words for and against that are listed below a text


@dataclass(frozen=True)
class Shown:
    """How explanations are shown."""

    html: Path | None = None
    """Write a page with all of them, which needs nothing else."""
    figure: Path | None = None
    """Draw the first one, a bar for each word: .png, .svg or .pdf."""
    phrase: tuple[str, ...] = ()
    """Phrases of the text whose score as one is said too, by contextual decomposition."""
    as_json: Annotated[bool, arg(name="json")] = False
    """Print a JSON object a line, with the score of every token."""
    most: int = MOST
    """How many texts are explained at most."""

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"most must be at least 1, got {self.most}")


def explain(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    texts: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXTS")] = (),
    /,
    file: Annotated[Path | None, arg(aliases=["-f"])] = None,
    reading: Annotated[Reading, arg(name="")] = Reading(),  # noqa: B008 - frozen
    method: Method | None = None,
    class_name: Annotated[str | None, arg(name="class", metavar="CLASS")] = None,
    shown: Annotated[Shown, arg(name="")] = Shown(),
) -> None:
    """Say what each word of a text counts for a class.

    Words that speak for the class are blue, words that speak against it are orange. Below the text
    stands whether the words add up to the answer, and by how much they miss it.

    Example: lstm-jax explain runs/mine "not bad at all" --html why.html

    Args:
        run: the folder of a trained run.
        texts: the texts; standard input, a text a line, if there are none and no --file.
        file: a file or folder as for `predict`.
        reading: how the file is read.
        method: lrp: relevance passed back from the answer to the words. ledger: what each word
            wrote into the memory, as far as it reached the answer. decomposition,
            integrated_gradients, gradient_x_input and occlusion are others.
        class_name: what the words are to speak for; the likeliest class of each text by default.
        shown: how it is shown, and of how many texts.
    """
    from lstm_jax.explain.explanation import explain as explained
    from lstm_jax.explain.explanation import phrase_score
    from lstm_jax.predictor import load

    _check(texts, file, reading)
    opened = load(run)
    given = _texts(texts, file, reading, shown.most)
    if not given:
        raise ValueError("texts must not be empty: give some, or --file")
    found = explained(opened, given, method=method, class_name=class_name)
    phrases = [
        {part: phrase_score(opened, each.text, part, each.class_name) for part in shown.phrase}
        for each in found
    ]
    if shown.as_json:
        for each, scores in zip(found, phrases, strict=True):
            print(json.dumps({**each.as_dict(), "phrases": scores}, ensure_ascii=False))
    else:
        console = Console()
        for number, each in enumerate(found):
            text = shown_text(each)
            for part, score in phrases[number].items():
                text.append(f"\nphrase {printable(part)!r}: {score:+.3f}")
            console.print(text, end="\n\n" if number + 1 < len(found) else "\n")
    said = Console(stderr=True)
    if shown.html is not None:
        from lstm_jax.explain.page import explanation_page
        from lstm_jax.files import write_text

        write_text(shown.html, explanation_page(found, str(run)))
        say(said, f"See {shown.html}", whole=True)
    if shown.figure is not None:
        from lstm_jax.explain.figure import draw

        draw(found[0], shown.figure)
        say(said, f"See {shown.figure}", whole=True)


def _check(texts: tuple[str, ...], file: Path | None, reading: Reading) -> None:
    if texts and file:
        raise ValueError("texts and --file cannot be given together")
    for name, value in reading.given().items():
        if name == "label_column":
            raise ValueError(f"--label-column is not read by explain, got {value!r}")
        if file is None:
            raise ValueError(f"--{name.replace('_', '-')} goes only with --file, got {value!r}")


def _texts(texts: tuple[str, ...], file: Path | None, reading: Reading, most: int) -> Sequence[str]:
    from lstm_jax.data import read_texts

    if file is not None:
        return list(islice(read_texts(file, reading), most))
    return texts[:most] or [line.rstrip("\n") for line in islice(sys.stdin, most)]


def shown_text(explanation: Any) -> Text:
    """One explanation for a terminal."""
    from lstm_jax.explain.page import sums
    from lstm_jax.reports.shares import percent

    others = [
        f"{name} {percent(share)}"
        for name, share in sorted(explanation.probabilities.items(), key=lambda each: -each[1])
        if name != explanation.class_name
    ][:4]
    head = f"{explanation.class_name} {percent(explanation.probability)}"
    found = Text().append(printable(head), "bold").append(printable(f" ({', '.join(others)})"))
    found.append("\n").append_text(coloured(explanation)).append("\n")
    ranked = sorted(explanation.words(), key=lambda word: word[1])
    for what, words, sign in (("for", ranked[::-1], 1), ("against", ranked, -1)):
        strongest = [
            f"{' '.join(printable(word).split())} {score:+.3f}"
            for word, score in words[:_STRONGEST]
            if score * sign > 0
        ]
        if strongest:
            found.append(f"{what}: ", "bold").append(f"{', '.join(strongest)}\n")
    return found.append(sums(explanation), "dim")


def coloured(explanation: Any) -> Text:
    """The text for a terminal, its words on blue or orange as they speak for or against."""
    from lstm_jax.explain.page import pieces

    found = Text()
    for piece in pieces(explanation):
        if piece.share is not None:
            found.append(piece.text, _style(piece.share))
        else:
            found.append(piece.text, "" if piece.token is None else "dim")
    return found


def _style(share: float) -> str:
    """Black or white on a colour that is as strong as the share in [-1, 1]."""
    strength, (red, green, blue) = abs(share), (31, 95, 168) if share >= 0 else (194, 84, 27)
    if strength < 0.04:
        return ""
    mixed = [round(255 + (part - 255) * strength) for part in (red, green, blue)]
    ink = "white" if strength > 0.6 else "black"
    return f"{ink} on rgb({mixed[0]},{mixed[1]},{mixed[2]})"
