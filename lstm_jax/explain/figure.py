"""An explanation as a picture: a bar for each word."""

from pathlib import Path

from lstm_jax.console import printable
from lstm_jax.explain.explanation import Explanation
from lstm_jax.reports.shares import percent

# Of a longer text the words that count most are drawn, in the order of the text.
MOST = 60


def draw(explanation: Explanation, picture: Path) -> None:
    """Draws what each word counts.

    Args:
        explanation: of one text.
        picture: where the picture goes; its name says the format: .png, .svg, .pdf.

    Raises:
        ValueError: if there is no such format.
        OSError: if it cannot be written.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    words = explanation.words()
    ranked = sorted(range(len(words)), key=lambda n: -abs(words[n][1]))
    shown = sorted(ranked[:MOST])
    names = [_label(words[n][0]) for n in shown]
    scores = [words[n][1] for n in shown]
    figure = Figure(figsize=(max(4.0, 1.2 + 0.26 * len(shown)), 3.2), layout="constrained")
    axes = figure.subplots()
    colours = ["#1f5fa8" if score >= 0 else "#c2541b" for score in scores]
    axes.bar(range(len(shown)), scores, color=colours, width=0.8)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_xticks(range(len(shown)), names, rotation=60, ha="right", fontsize=9)
    axes.set_ylabel("logit")
    more = "" if len(shown) == len(words) else f", the {len(shown)} of {len(words)} that count most"
    title = f"{explanation.class_name} {percent(explanation.probability)}: {explanation.method}"
    axes.set_title(_label(title, 80) + more, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    kind = picture.suffix.removeprefix(".").lower()
    allowed = figure.canvas.get_supported_filetypes()
    if kind not in allowed:
        raise ValueError(
            f"{picture}: a picture's name must end in .png, .svg or .pdf, got {picture.suffix!r}"
        )
    figure.savefig(picture, dpi=160)


def _label(text: str, most: int = 16) -> str:
    """A word as Matplotlib takes it: "$" begins no formula."""
    text = printable(" ".join(text.split()))
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return text.replace("$", r"\$")
