"""The report as one HTML file: no script, nothing from elsewhere, for a phone and for the dark."""

from collections.abc import Sequence

from lstm_jax.reports import charts
from lstm_jax.reports.classes import ClassScore, class_scores, confused_pairs
from lstm_jax.reports.escaped import escaped, shortened
from lstm_jax.reports.markup import (
    document,
    figure,
    figures,
    interval_bar,
    legend,
    percentage,
    section,
    table,
)
from lstm_jax.reports.mistakes import mistakes
from lstm_jax.reports.ranking import rankings
from lstm_jax.reports.scored import Scored
from lstm_jax.reports.shares import counted, percents
from lstm_jax.reports.summary import summarise

NUMBERED = 10  # classes at most whose confusion is a table of numbers
PAIRS = 10  # confused pairs that are listed
FIRST = 8  # mistakes that are open to see
LONGEST = 400  # characters of a text that are shown


def report_page(scored: Scored) -> str:
    """The whole report.

    Args:
        scored: what was measured.

    Returns:
        HTML, in which everything from outside is escaped.
    """
    title = scored.title or "Report"
    sections = [
        _head(scored),
        _classes(scored),
        _confusion(scored),
        _probabilities(scored),
        _ranking(scored),
        _lengths(scored),
        training([scored.records], [title]),
        _mistakes(scored),
    ]
    return document(title, sections)


def training(runs: Sequence[charts.Records], names: Sequence[str]) -> str:
    """How training went: curves of one run, or of several over each other.

    Args:
        runs: the records of each run's metrics.jsonl.
        names: of the runs.
    """
    one = len(runs) == 1
    named = legend(["validation", "training"] if one else names)
    explanation = (
        "Where the loss in validation rises while that in training still falls, the model learns"
        " its training texts by heart. The faint line is the loss of single batches."
        if one
        else "On the texts that each run held out for validation, after each epoch."
    )
    drawn = [
        figure(title, charts.training_chart(runs, quantity, names), named)
        for title, quantity in (("Loss", "loss"), ("Accuracy", "accuracy"))
    ]
    return section("Training", explanation, figures(*drawn))


def _head(scored: Scored) -> str:
    interval, accuracy = scored.interval, scored.metrics.accuracy
    facts = [f"<li>{escaped(line)}</li>" for line in summarise(scored)[1:]]
    largest = int(scored.confusion.sum(1).argmax())
    share = scored.confusion.sum(1)[largest] / len(scored)
    name = escaped(shortened(scored.class_names[largest], 40))
    marks = [("always ‘" + name + "’", float(share), "guess")]
    if scored.linear_accuracy is not None:
        marks.append(("a linear model", scored.linear_accuracy, "linear"))
    bar = interval_bar(interval.low, accuracy, interval.high)
    rows = [f'<li class="ours"><span>this model</span>{bar}<em>{percentage(accuracy)}</em></li>']
    rows += [
        f'<li class="{style}"><span>{label}</span>{interval_bar(value, value, value)}'
        f"<em>{percentage(value)}</em></li>"
        for label, value, style in sorted(marks, key=lambda mark: -mark[1])
    ]
    return (
        f'<header>\n<p class="over">{escaped(scored.title)}</p>\n'
        f"<h1>{percentage(accuracy)} <small>of {escaped(counted(len(scored), scored.part))}"
        f" predicted right</small></h1>\n"
        f'<p class="interval">95% interval: {percents(interval)}</p>\n'
        f'<div class="summary"><ul class="facts">{"".join(facts)}</ul>'
        f'<ul class="beside">{"".join(rows)}</ul></div>\n</header>'
    )


def _classes(scored: Scored) -> str:
    def row(score: ClassScore) -> list[str]:
        name, interval = escaped(shortened(score.name, 60)), score.recall_interval
        found = "–"
        if score.recall is not None and interval is not None:
            bar = interval_bar(interval.low, score.recall, interval.high)
            found = f"{bar}<em>{percentage(score.recall)}</em>"
            found += f"<small>{percents(interval, 0)}</small>"
        shares = (score.precision, score.f1)
        return [
            name,
            f"{score.texts:,}",
            found,
            *("–" if each is None else percentage(each) for each in shares),
        ]

    scores = sorted(
        class_scores(scored), key=lambda score: 2.0 if score.recall is None else score.recall
    )
    return section(
        "Classes",
        "Hardest first. Found (recall): the share of the class that is predicted as it, with its"
        " 95% interval. Precision: of what is predicted as the class, the share that is right. F1:"
        " the harmonic mean of both.",
        table(("class", "texts", "found", "precision", "F1"), [row(s) for s in scores], "classes"),
    )


def _confusion(scored: Scored) -> str:
    names = scored.class_names
    pairs = confused_pairs(scored, PAIRS) if len(names) > 2 else []
    rows = [
        [escaped(pair.true), escaped(pair.predicted), f"{pair.texts:,}", percentage(pair.share)]
        for pair in pairs
    ]
    headers = ("true class", "taken for", "texts", "of the class")
    listed = f"<h3>Most confused</h3>{table(headers, rows, 'pairs')}" if rows else ""
    if len(names) > NUMBERED:
        whole = f'<div class="scroll map" tabindex="0">{charts.confusion_map(scored)}</div>'
        explanation = (
            "Rows are true classes, columns predicted ones. A stronger colour is a larger share of"
            " the row."
        )
    else:
        whole = _numbers(scored)
        explanation = "Rows are true classes, columns what they are predicted as."
    return section("Confusion", explanation, whole, listed)


def _numbers(scored: Scored) -> str:
    names, counts = scored.class_names, scored.confusion
    rows = []
    for true, name in enumerate(names):
        cells = []
        for predicted, count in enumerate(counts[true]):
            share = count / max(1, counts[true].sum())
            kind = "right" if true == predicted else "wrong"
            strength = 0 if count == 0 else 4 + 44 * share**0.6
            cells.append(
                f'<td class="{kind}" style="--share:{strength:.0f}%">{count:,}'
                f"<small>{percentage(share, 0) if count else ''}</small></td>"
            )
        rows.append(f'<tr><th scope="row">{escaped(shortened(name, 30))}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{escaped(shortened(name, 18))}</th>' for name in names)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="confusion matrix">'
        f'<table class="confusion"><thead><tr><th scope="col">true class</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _probabilities(scored: Scored) -> str:
    error = f"{scored.metrics.calibration_error:.3f}"
    return section(
        "Probabilities",
        "Whether they mean what they say: of texts predicted with 90%, some 90% should be right,"
        " and the dots lie on the diagonal. Below it the model is too sure, above it not sure"
        f" enough. The calibration error, {error}, is the mean distance from it. Bars are 95%"
        " intervals.",
        figures(
            figure("Predicted right, by confidence", charts.reliability_chart(scored)),
            figure(
                "Texts, by confidence",
                charts.confidence_histogram(scored),
                '<ul class="legend"><li><i class="c0 box"></i>right</li>'
                '<li><i class="c1 box"></i>wrong</li></ul>',
            ),
        ),
    )


def _ranking(scored: Scored) -> str:
    found = rankings(scored)
    if not found:
        return ""
    explanation = "How well the probability of a class tells its texts from the others."
    drawn = len(found) - 1  # the first is the mean
    if drawn:
        explanation += " Each class against all others"
        few = drawn < len(scored.class_names)
        explanation += f"; the {drawn} with the smallest area." if few else "."

    def named(value: str) -> str:
        return legend(
            [f"{shortened(ranking.name, 30)}: {getattr(ranking, value):.3f}" for ranking in found]
        )

    return section(
        "Ranking",
        explanation,
        figures(
            figure("ROC, and the area under it", charts.roc_chart(found), named("auc")),
            figure(
                "Precision over recall, and average precision",
                charts.precision_recall_chart(found),
                named("average_precision"),
            ),
        ),
    )


def _lengths(scored: Scored) -> str:
    return section(
        "Lengths",
        "Whether short or long texts are harder. Each dot stands for about as many texts; bars are"
        " 95% intervals.",
        figures(figure("Predicted right, by length in tokens", charts.length_chart(scored))),
    )


def _mistakes(scored: Scored) -> str:
    items = [
        f"<li><p>{escaped(shortened(mistake.text, LONGEST)) or '(empty)'}</p>"
        f"<small><b>{escaped(mistake.true)}</b> taken for <b>{escaped(mistake.predicted)}</b>,"
        f" {percentage(mistake.probability)}</small></li>"
        for mistake in mistakes(scored)
    ]
    if not items:
        return ""
    first, rest = "".join(items[:FIRST]), "".join(items[FIRST:])
    more = f"<details><summary>{len(items) - FIRST} more</summary>"
    return section(
        "Mistakes it is surest of",
        "Look for wrong labels first, then for what these texts have in common. mistakes.csv has"
        " them whole.",
        f'<ol class="mistakes">{first}</ol>',
        f'{more}<ol class="mistakes">{rest}</ol></details>' if rest else "",
    )
