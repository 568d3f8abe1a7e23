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
# Choose a TPU under *Runtime, Change runtime type*, then run the cells from top to bottom. The same
# notebook runs on a GPU or a CPU: all local devices are used without being asked. In the first
# cell, put the address of this repository in place of REPOSITORY.

# %%
# !git clone --depth 1 REPOSITORY lstm_jax && pip install -q -e ./lstm_jax
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
# ## Ask it

# %%
import lstm_jax

run = lstm_jax.load("runs/notebook")
texts = ["A film I will not forget.", "Not good, not even close."]
dict(zip(texts, run.predict_proba(texts)[:, 1].round(3), strict=True))  # probability of "positive"
