"""Draws docs/pictures/elimination.png from the record of experiments.elimination.

python docs/pictures/elimination.py
"""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

HERE = Path(__file__).parent
RECORD = HERE.parents[1] / "experiments" / "results" / "elimination.json"
LINES = {
    "lrp": ("relevance propagation", "#1f5fa8", "-"),
    "integrated_gradients": ("integrated gradients", "#8b4aa8", "-"),
    "ledger": ("ledger", "#2a8a63", "-"),
    "survival": ("survival: what the gates keep", "#c2541b", "-"),
    "rarity": ("frequent words first", "#96730a", "--"),
    "random": ("at random", "#5d6670", "--"),
}


def main() -> None:
    """Draws it."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    figure = Figure(figsize=(9.6, 4), layout="constrained")
    panels = figure.subplots(1, len(record["runs"]), sharey=True)
    for axes, (preset, runs) in zip(panels, record["runs"].items(), strict=True):
        for name, (label, colour, style) in LINES.items():
            curves = [run["curves"][name]["accuracy"] for run in runs.values()]
            accuracy = 100 * np.mean(curves, axis=0)
            deleted = [100 * share for share in record["shares"]]
            axes.plot(deleted, accuracy, style, color=colour, label=label, linewidth=1.6)
        axes.set_title(preset, loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("words deleted, %")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.92")
    panels[0].set_ylabel("accuracy, %")
    panels[-1].legend(frameon=False, fontsize=9, loc="lower left")
    figure.savefig(HERE / "elimination.png", dpi=110)


if __name__ == "__main__":
    main()
