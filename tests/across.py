"""Runs that are made on some number of devices and used on another; also a program of its own."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import jax
import small

import lstm_jax
from lstm_jax.interop.export import export_run


def train(path: Path, init: Path | None = None) -> None:
    """Makes a run of one epoch."""
    config = replace(small.CONFIG, train=replace(small.CONFIG.train, epochs=1, batch_size=12))
    small.train(config, small.corpus(), path, init=init)


def said(path: Path) -> dict:
    """What a run says of the test texts here."""
    run, test = lstm_jax.load(path), small.corpus().test
    assert test is not None
    probabilities = run.predict_proba(test.texts).tolist()
    return {
        "devices": len(jax.devices()),
        "loss": run.evaluate(test).loss,
        "probabilities": probabilities,
    }


def use(path: Path, folder: Path) -> None:
    """Exports a run, which proves that its probabilities are the same, and starts from it."""
    export_run(lstm_jax.load(path), folder / "exported", "stablehlo")
    train(folder / "started", init=path)


if __name__ == "__main__":
    mine, other = map(Path, sys.argv[1:])
    train(mine)
    use(other, mine.with_name("used_by_program"))
    print(json.dumps([said(mine), said(other)]))
