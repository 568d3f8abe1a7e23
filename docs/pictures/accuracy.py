"""Draws docs/pictures/accuracy.png from the records: `python docs/pictures/accuracy.py`."""

import json
from pathlib import Path
from statistics import mean

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
PICTURE = Path(__file__).with_suffix(".png")
ARTICLE = 85.0  # what the article reports
OURS, OTHERS, INK, FAINT = "#1f6feb", "#8b949e", "#24292f", "#d0d7de"
PRESETS = ("article", "bilstm", "adversarial", "finetuned", "distilled")


def main() -> None:
    """Reads the records and writes the picture."""
    rows = [("the article's own figure", [ARTICLE], OTHERS)]
    baselines = json.loads((ROOT / "benchmarks/results/baselines.json").read_text(encoding="utf-8"))
    for name, measured in baselines["models"].items():
        short = name.replace(" + ", "\n+ ")
        rows.append((short, [100 * measured["test_accuracy"]], OTHERS))
    for preset in PRESETS:
        path = ROOT / "experiments" / "results" / f"{preset}.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        rows.append((preset, [100 * accuracy for accuracy in record["test_accuracy"]], OURS))
    rows.sort(key=lambda row: mean(row[1]))
    draw(rows)


def draw(rows: list[tuple[str, list[float], str]]) -> None:
    """A row for each model: a dot a seed, a ring at the mean, and the mean in figures."""
    plt.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 11, "axes.labelsize": 10, "text.color": INK}
    )
    figure, axes = plt.subplots(figsize=(8.4, 3.9), dpi=150, layout="constrained")
    for y, (_, accuracies, colour) in enumerate(rows):
        middle = mean(accuracies)
        axes.plot([84, middle], [y, y], color=FAINT, linewidth=1.2, zorder=1)
        if len(accuracies) > 1:
            axes.scatter(accuracies, [y] * len(accuracies), s=26, color=colour, alpha=0.45, lw=0)
        axes.scatter([middle], [y], s=95, color=colour, edgecolor="white", linewidth=1.2, zorder=3)
        digits = 2 if len(accuracies) > 1 or middle != ARTICLE else 0
        beside = max(accuracies) + 0.22
        weight = "bold" if colour == OURS else "normal"
        axes.text(beside, y, f"{middle:.{digits}f} %", va="center", fontweight=weight, color=INK)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    for label, (_, _, colour) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(OURS if colour == OURS else INK)
        label.set_fontweight("bold" if colour == OURS else "normal")
    axes.set_xlim(84, 94.6)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xticks(range(84, 95, 2), [f"{tick} %" for tick in range(84, 95, 2)], color="#57606a")
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.set_xlabel("accuracy on the 25,000 IMDB test reviews", color="#57606a")
    figure.suptitle(
        "Presets of lstm_jax (blue, small dots are seeds) and other models (grey)",
        x=0.01,
        ha="left",
        fontsize=11,
        fontweight="bold",
    )
    figure.savefig(PICTURE, facecolor="white")


if __name__ == "__main__":
    main()
