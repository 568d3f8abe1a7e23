"""The charts of a report, each an inline picture; where there is nothing to draw, none."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_jax.reports.escaped import escaped, shortened
from lstm_jax.reports.ranking import Ranking, thinned
from lstm_jax.reports.scored import Scored
from lstm_jax.reports.shares import percent, percents
from lstm_jax.reports.svg import Chart, Point, drawing, number_axis, percent_axis
from lstm_jax.reports.trust import Bin, confidence_bins, length_bins

Records = Sequence[Mapping[str, Any]]
COLOURS = 6  # that the style sheet has for lines: c0 to c5
MOST_BATCHES = 300  # that a line of single batches has points for
FEWEST = 10  # texts of a dot, where others have so many
CELL = 10  # pixels of a heat map's
NAMED = 60  # classes at most whose names stand beside a heat map


def colour(number: int) -> str:
    """The style of the line of that number."""
    return f"c{number % COLOURS}"


def reliability_chart(scored: Scored) -> str:
    """How often texts are predicted right, by the confidence that they are predicted with."""
    bins = confidence_bins(scored)
    bins = [each for each in bins if each.texts >= FEWEST] or bins
    lowest = 0.5 if len(scored.class_names) == 2 else 0.0
    worst = max(bins, key=lambda each: abs(each.accuracy - each.mean))
    chart = Chart(
        percent_axis("confidence: the probability of the predicted class", lowest),
        percent_axis("predicted right", min(lowest, *(each.interval.low for each in bins), 0.5)),
        f"Accuracy by confidence, in {len(bins)} bins. Farthest from the diagonal: texts of"
        f" {percent(worst.mean, 0)} confidence, of which {percent(worst.accuracy, 0)} are right.",
    )
    start = max(chart.x.low, chart.y.low)
    chart.line([(start, start), (1, 1)], "reference")
    _bins(chart, bins, "confidence")
    return chart.svg()


def confidence_histogram(scored: Scored) -> str:
    """How many texts are predicted with which confidence, right ones and mistakes."""
    bins = confidence_bins(scored)
    lowest = 0.5 if len(scored.class_names) == 2 else 0.0
    most = max(each.texts for each in bins)
    surest = bins[-1]
    chart = Chart(
        percent_axis("confidence: the probability of the predicted class", lowest),
        number_axis("texts", 0, most),
        f"How many texts are predicted with which confidence; {surest.texts:,} of {len(scored):,}"
        f" with {percent(surest.low, 0)} or more.",
    )
    for each in bins:
        low, high = each.low + 0.004, each.high - 0.004
        limits = f"{percents((each.low, each.high), 0)}"  # pyright: ignore[reportArgumentType]
        hint = f"{limits}: {each.right:,} right, {each.texts - each.right:,} wrong"
        chart.box((low, 0), (high, each.right), "share", hint)
        chart.box((low, each.right), (high, each.texts), "share miss", hint)
    return chart.svg()


def length_chart(scored: Scored) -> str:
    """How often texts are predicted right, by their length; "" where that is not known."""
    bins = length_bins(scored)
    if len(bins) < 2:
        return ""
    first, last = bins[0], bins[-1]
    chart = Chart(
        number_axis("length in tokens", 0, max(each.mean for each in bins)),
        percent_axis("predicted right", _round_down(min(each.interval.low for each in bins))),
        f"Accuracy by length: {percent(first.accuracy)} of texts of {first.low:.0f} to"
        f" {first.high:.0f} tokens, {percent(last.accuracy)} of {last.low:.0f} to {last.high:.0f}.",
    )
    _bins(chart, bins, "tokens")
    return chart.svg()


def roc_chart(found: Sequence[Ranking]) -> str:
    """ROC curves in one chart."""
    areas = ", ".join(f"{each.name} {each.auc:.3f}" for each in found)
    chart = Chart(
        percent_axis("false positive rate: others called this class"),
        percent_axis("true positive rate"),
        f"ROC curves; the areas under them: {areas}.",
    )
    chart.line([(0, 0), (1, 1)], "reference")
    for number, each in _last_first(found):
        chart.line(_points(thinned(each.roc)), f"line {colour(number)}")
    return chart.svg()


def precision_recall_chart(found: Sequence[Ranking]) -> str:
    """Curves of precision over recall in one chart."""
    areas = ", ".join(f"{each.name} {each.average_precision:.3f}" for each in found)
    chart = Chart(
        percent_axis("recall: share of the class that is found"),
        percent_axis("precision"),
        f"Precision over recall; average precision: {areas}.",
    )
    for number, each in _last_first(found):
        chart.line(_points(thinned(each.precision_recall)), f"line {colour(number)}")
    return chart.svg()


def training_chart(runs: Sequence[Records], quantity: str, names: Sequence[str]) -> str:
    """Loss or accuracy over the steps, in training and validation; of several runs in validation.

    Args:
        runs: the records of each run's metrics.jsonl.
        quantity: "loss" or "accuracy".
        names: of the runs.

    Returns:
        The picture; "" where there are fewer than two points.
    """
    parts = ("train", "validation") if len(runs) == 1 else ("validation",)
    lines: list[tuple[str, list[Point]]] = []
    for number, records in enumerate(runs):
        for place, part in enumerate(parts):
            points = _series(records, f"{part}_{quantity}")
            style = f"line {colour(number if len(runs) > 1 else 1 - place)}"
            lines.append((style, points))
    drawn = [point for _, points in lines for point in points]
    if len(drawn) < 2:
        return ""
    batches = _series(runs[0], "loss") if quantity == "loss" and len(runs) == 1 else []
    batches = batches[:: -(-len(batches) // MOST_BATCHES) or 1]
    values = [y for _, y in (*drawn, *batches)]
    last = max(x for x, _ in (*drawn, *batches))
    x = number_axis("step", 0, last)
    if quantity == "accuracy":
        y = percent_axis("accuracy", _round_down(min(values)))
    else:
        y = number_axis("loss", 0, float(np.quantile(values, 0.99)) if batches else max(values))
    chart = Chart(x, y, f"{quantity.capitalize()} over the steps of {', '.join(names)}.")
    chart.line([(x, min(value, y.high)) for x, value in batches], "batches")
    for style, points in lines:
        chart.line(points, style)
        if len(points) < 40:
            shown = [(f"{v:.1%}" if quantity == "accuracy" else f"{v:.4f}") for _, v in points]
            for point, value in zip(points, shown, strict=True):
                chart.dot(point, style, f"step {point[0]:.0f}: {value}", 2.5)
    return chart.svg()


def confusion_map(scored: Scored) -> str:
    """A heat map of which classes are taken for which, for too many of them to write numbers."""
    names, counts = scored.class_names, scored.confusion
    left = 150 if len(names) <= NAMED else 4
    side = CELL * len(names)
    parts = [f'<rect class="frame" x="{left}" y="4" width="{side}" height="{side}"/>']
    sizes = np.maximum(counts.sum(1), 1)
    for row, column in zip(*np.nonzero(counts), strict=True):
        count, share = counts[row, column], counts[row, column] / sizes[row]
        kind = "share" if row == column else "share miss"
        hint = f"{names[row]} → {names[column]}: {count:,} ({percent(share)})"
        parts.append(
            f'<rect class="{kind}" x="{left + CELL * column}" y="{4 + CELL * row}"'
            f' width="{CELL}" height="{CELL}" opacity="{max(0.08, share**0.5):.2f}">'
            f"<title>{escaped(hint)}</title></rect>"
        )
    for row, name in enumerate(names if len(names) <= NAMED else ()):
        y = 4 + CELL * row + CELL / 2
        short = escaped(shortened(name, 26))
        parts.append(f'<text class="end small" x="{left - 5}" y="{y}" dy=".32em">{short}</text>')
    describes = f"Which of {len(names)} classes are taken for which: rows are true classes, columns"
    return drawing((left + side + 6, side + 8), f"{describes} predicted ones.", parts)


def _bins(chart: Chart, bins: Sequence[Bin], unit: str) -> None:
    for each in bins:
        low, high = each.interval
        chart.line([(each.mean, low), (each.mean, high)], "whisker")
    chart.line([(each.mean, each.accuracy) for each in bins], "line c0")
    for each in bins:
        limits = f"{each.low:.0f} to {each.high:.0f} {unit}"
        if unit == "confidence":
            limits = f"{unit} {100 * each.low:.0f} to {100 * each.high:.0f}%"
        right = f"{percent(each.accuracy)} of {each.texts:,} texts right"
        chart.dot((each.mean, each.accuracy), "point c0", f"{limits}: {right}")


def _series(records: Records, name: str) -> list[Point]:
    """A quantity over the steps, where it is known."""
    return [(record["step"], record[name]) for record in records if record.get(name) is not None]


def _points(curve: tuple[Any, Any]) -> Iterable[Point]:
    return zip(*curve, strict=True)


def _last_first(found: Sequence[Ranking]) -> list[tuple[int, Ranking]]:
    """The curves with their numbers; the first is drawn last, over the others."""
    return list(enumerate(found))[::-1]


def _round_down(share: float) -> float:
    """The tenth below a share."""
    return max(0.0, np.floor(10 * share - 1e-9) / 10)
