# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # An LSTM on a Colab TPU
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/imdb_tpu.ipynb)
#
# Choose a TPU under *Runtime, Change runtime type*, then run the cells from top to bottom. The same
# notebook runs on a GPU or a CPU: all local devices are used without being asked. In the first
# cell, put the address of this repository in place of REPOSITORY.

# %%
# !git clone --depth 1 https://github.com/REPOSITORY lstm_jax && pip install -q -e ./lstm_jax
# %cd lstm_jax

# %%
import jax

jax.devices()

# %% [markdown]
# ## One step, every gate

# %%
import jax.numpy as jnp

from lstm_jax import init_lstm, lstm, lstm_gates, zero_state

params = init_lstm(jax.random.key(0), features=3, hidden_size=4)
inputs = jax.random.normal(jax.random.key(1), (2, 5, 3))  # [B, T, D]
lstm_gates(params, zero_state(2, 4), inputs[:, 0]).forget

# %%
outputs, state = lstm(params, inputs, lengths=jnp.array([5, 2]))
outputs[1]  # zeros past the second sequence's length

# %% [markdown]
# ## Two ways of running it on a TPU
#
# XLA's loop, which `auto` takes, and the Pallas kernels, `tpu`. They take turns on the article's
# layer: 64 reviews of 500 words, 32 inputs, 100 units. `auto` does not take the kernels, because
# nobody has timed them: this cell does.

# %%
from statistics import median
from time import perf_counter


def forward_by(implementation):
    return jax.jit(lambda params, inputs: lstm(params, inputs, implementation=implementation)[0])


def gradients_by(implementation):
    def loss(params, inputs):
        return (lstm(params, inputs, implementation=implementation)[0] ** 2).sum()

    return jax.jit(jax.grad(loss, (0, 1)))


def compare(implementations, sizes, rounds=20, calls=10):
    """Prints the median milliseconds of each implementation; they take turns."""
    batch, time, features, hidden = sizes
    layer = init_lstm(jax.random.key(0), features=features, hidden_size=hidden)
    arguments = layer, jax.random.normal(jax.random.key(1), (batch, time, features))
    print(f"{jax.devices()[0].device_kind}, B, T, D, H = {sizes}, milliseconds")
    print(f"{'':20}", *(f"{name:>10}" for name in implementations))
    for kind, ways in (("forward", forward_by), ("forward + backward", gradients_by)):
        runs = {name: ways(name) for name in implementations}
        taken = {name: [] for name in implementations}
        for number in range(rounds + 1):
            for name, run in runs.items():
                began = perf_counter()
                jax.block_until_ready([run(*arguments) for _ in range(calls)])
                if number > 0:  # the first turn compiles
                    taken[name].append(1e3 * (perf_counter() - began) / calls)
        print(f"{kind:20}", *(f"{median(each):10.3f}" for each in taken.values()))


if jax.default_backend() == "tpu":
    compare(("auto", "tpu"), sizes=(64, 500, 32, 100))
else:
    print("There is no TPU here: nothing is timed.")

# %% [markdown]
# ## Train and measure a classifier
#
# `data = "imdb"` downloads the reviews (80 MB, once). "builtin" is a corpus of made-up reviews.

# %%
from dataclasses import replace
from pathlib import Path

from experiments.imdb.bilstm import CONFIG as BILSTM
from experiments.imdb.results import comparison
from lstm_jax.data import load_corpus
from lstm_jax.recipes.supervised import supervised
from lstm_jax.train.open_run import Request

data, epochs = "imdb", BILSTM.train.epochs

# %%
corpus = load_corpus(data)
config = replace(BILSTM, train=replace(BILSTM.train, epochs=epochs))
request = Request(Path("runs/notebook"), "notebooks/imdb_tpu", resume=True)
result = supervised(config, corpus, request)
comparison(corpus, [result])

# %% [markdown]
# All devices of this machine had their part of each batch. The curves:

# %%
import matplotlib.pyplot as plt

from lstm_jax.train.report import read_metrics

records = read_metrics(Path("runs/notebook/metrics.jsonl"))
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
    for part in ("train", "validation"):
        points = [(r["epoch"], r[f"{part}_{quantity}"]) for r in records if "epoch" in r]
        axis.plot(*zip(*points, strict=True), marker="o", label=part)
    axis.set(xlabel="epoch", ylabel=quantity)
axes[0].legend(frameon=False)
plt.show()

# %% [markdown]
# ## Ask it

# %%
import lstm_jax

run = lstm_jax.load("runs/notebook")
texts = ["A film I will not forget.", "Not good, not even close."]
dict(zip(texts, run.predict_proba(texts)[:, 1].round(3), strict=True))  # probability of "positive"

# %% [markdown]
# Write a sentence of your own. Blue words speak for the class, orange words against it.

# %%
sentence = "I expected nothing, and it was not bad at all."
run.explain(sentence)

# %% [markdown]
# The gates acting on it: a column for each word, a row for each unit of the forward LSTM.

# %%
from lstm_jax.explain.trace import trace_classifier

(ids,) = run.tokenizer.encode_batch([sentence])
trace = trace_classifier(run.model, run.params, jnp.asarray(ids)[None], jnp.array([len(ids)]))
steps = trace.layers[0].directions[0].steps
figure, axes = plt.subplots(4, 1, figsize=(8, 8), sharex=True, layout="constrained")
for axis, gate in zip(axes, ("input", "forget", "candidate", "output"), strict=True):
    lowest = -1 if gate == "candidate" else 0
    axis.imshow(getattr(steps, gate)[0].T, aspect="auto", cmap="RdBu", vmin=lowest, vmax=1)
    axis.set_title(gate, loc="left", fontsize=10)
    axis.set_yticks([])
axes[-1].set_xticks(range(len(ids)), run.tokenizer.words(ids), rotation=60, ha="right")
plt.show()
