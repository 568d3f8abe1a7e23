"""One process of `benchmarks.devices`: times steps of the presets, and prints JSON.

python -m benchmarks.devices_step SECONDS PART_OF_THE_ROWS [CORE]
"""

import json
import os
import sys
import time

if __name__ == "__main__" and len(sys.argv) > 3:  # before JAX counts the cores
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[int(sys.argv[3])]})

import jax
import numpy as np

from benchmarks.cases import IMDB_LENGTHS
from benchmarks.devices import classifier
from experiments.imdb.command import PRESETS
from lstm_jax.data import Batch
from lstm_jax.machine import tune_malloc
from lstm_jax.train.config import Config
from lstm_jax.train.losses import Classification
from lstm_jax.train.optimizer import make_optimizer
from lstm_jax.train.processes import any_of, connect, is_first, put
from lstm_jax.train.step import all_devices, init_state, train_step

# Rows and width of the batch: `article` reads its padding, `bilstm` has buckets, of which 256 is
# the one in the middle.
SHAPES = {"article": (64, 500), "bilstm": (32, 256)}


def batch_of(config: Config, rows: int, width: int) -> Batch:
    """Words at random, with lengths as IMDB has them where the preset does not read padding."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, config.text.vocabulary_size, (rows, width), np.int32)
    lengths = np.resize(np.minimum(np.array(IMDB_LENGTHS), width), rows).astype(np.int32)
    if config.text.pad == "front":
        lengths = np.full(rows, width, np.int32)
    labels = np.arange(rows, dtype=np.int32) % 2
    return Batch(
        tokens, lengths, labels, np.ones(rows, np.float32), np.arange(rows, dtype=np.int32)
    )


def steps(config: Config, rows: int, width: int, seconds: float) -> list[float]:
    """How long each step takes; the first ones, which compile, are left out."""
    loss = Classification(classifier(config), config.train.label_smoothing)
    optimizer, decay = make_optimizer(config.optimizer, 100), config.train.ema_decay
    shardings = all_devices()
    state = init_state(loss, optimizer, 0, keep_ema=decay > 0, keep_best=False)
    state = put(state, shardings.replicated)
    batch = put(batch_of(config, rows, width), shardings.by_row)
    taken: list[float] = []
    going = True
    while going:
        began = time.perf_counter()
        state, _ = train_step(loss, optimizer, decay, state, batch)
        jax.block_until_ready(state)
        taken.append(time.perf_counter() - began)
        # All processes stop after the same step. Asking takes time, but no step's.
        going = not any_of(len(taken) > 4 and sum(taken[2:]) > seconds)
    return taken[2:]


def main() -> None:
    """Times both presets."""
    seconds, part = map(float, sys.argv[1:3])
    tune_malloc()
    connect()
    taken = {
        name: steps(PRESETS[name].config, round(part * rows), width, seconds)
        for name, (rows, width) in SHAPES.items()
    }
    if is_first():
        print(json.dumps(taken))


if __name__ == "__main__":
    main()
