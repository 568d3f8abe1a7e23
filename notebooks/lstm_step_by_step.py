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
# # The LSTM, step by step
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/lstm_step_by_step.ipynb)
#
# What each gate does, seen at work in a classifier that is trained here in a minute. On Colab, put
# the address of this repository in place of REPOSITORY and run the next cell first.

# %%
# !git clone --depth 1 https://github.com/REPOSITORY lstm_jax && pip install -q -e ./lstm_jax
# %cd lstm_jax

# %%

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import lstm_jax
from lstm_jax import init_lstm, lstm, lstm_cell, lstm_gates, zero_state

# %% [markdown]
# ## One step
#
# An LSTM reads a sequence one step at a time. It keeps two vectors: the **cell state** c, its
# memory, and the **hidden state** h, what it shows of the memory. At each step four gates are
# computed from the input x and the hidden state before:
#
# | gate | equation | meaning |
# |---|---|---|
# | input | i = σ(x Wᵢ + h Uᵢ + bᵢ) | how much is written |
# | forget | f = σ(x W_f + h U_f + b_f) | how much of the memory is kept |
# | candidate | g = tanh(x W_g + h U_g + b_g) | what could be written |
# | output | o = σ(x Wₒ + h Uₒ + bₒ) | how much of the memory is shown |
#
# Then c ← f ∘ c + i ∘ g and h ← o ∘ tanh(c). That is all.

# %%
params = init_lstm(jax.random.key(0), features=3, hidden_size=4)
x = jax.random.normal(jax.random.key(1), (1, 3))
state = zero_state(1, 4)
gates = lstm_gates(params, state, x)
c = gates.forget * state.cell + gates.input * gates.candidate
h = gates.output * jnp.tanh(c)
state, output = lstm_cell(params, state, x)
print("by hand ", h.round(3))
print("lstm_cell", output.round(3))

# %% [markdown]
# `lstm` does this for a whole batch of sequences, fast, and never counts the padding:

# %%
inputs = jax.random.normal(jax.random.key(2), (2, 5, 3))  # [batch, time, features]
outputs, state = lstm(params, inputs, lengths=jnp.array([5, 2]))
outputs[1].round(3)  # zeros behind the second sequence's two steps

# %% [markdown]
# ## A classifier to look into
#
# It learns from made-up reviews in which one word, such as "but", can turn the verdict round.

# %%
from lstm_jax.data import generate_reviews

count, epochs = 8500, 5
texts, labels = generate_reviews(count, seed=0)
names = np.array(["negative", "positive"])[labels]
settings = {
    "model.direction": "forward",
    "model.hidden_size": 32,
    "model.linear": False,
    "model.token_dropout": 0.0,
    "model.embedding_dropout": 0.1,
    "model.output_dropout": 0.1,
    "text.ngrams": (),
    "text.cooccurrence_window": 0,
    "train.adversarial": 0.0,
    "train.epochs": epochs,
    "optimizer.learning_rate": 5e-3,
}
run = lstm_jax.fit(texts[: count - 500], names[: count - 500], settings=settings, quiet=True)
accuracy = (run.predict(texts[count - 500 :]) == names[count - 500 :]).mean()
print(f"accuracy on 500 reviews that it has not seen: {accuracy:.1%}")

# %%
text = min(texts[count - 500 :], key=lambda text: abs(len(text) - 120))
print(text)
dict(zip(run.class_names, run.predict_proba([text])[0].round(3), strict=True))

# %% [markdown]
# ## The gates at work
#
# `trace_classifier` keeps every gate and state. Each picture has a column for each word and a row
# for each of the 32 units.

# %%
from lstm_jax.explain.trace import trace_classifier

(ids,) = run.tokenizer.encode_batch([text])
words = run.tokenizer.words(ids)
lengths = jnp.array([len(ids)])
trace = trace_classifier(run.model, run.params, jnp.asarray(ids)[None], lengths)
steps = trace.layers[0].directions[0].steps

panels = [
    ("input gate: how much is written", steps.input, "Blues", 0, 1),
    ("forget gate: how much is kept", steps.forget, "Blues", 0, 1),
    ("candidate: what could be written", steps.candidate, "RdBu", -1, 1),
    ("output gate: how much is shown", steps.output, "Blues", 0, 1),
    ("cell state: the memory", steps.cell, "RdBu", -2, 2),
]
figure, axes = plt.subplots(len(panels), 1, figsize=(9, 10), sharex=True, layout="constrained")
for axis, (title, values, colours, low, high) in zip(axes, panels, strict=True):
    axis.imshow(values[0].T, aspect="auto", cmap=colours, vmin=low, vmax=high)
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_yticks([])
axes[-1].set_xticks(range(len(words)), words, rotation=70, ha="right", fontsize=8)
plt.show()

# %% [markdown]
# ## What is left of each word
#
# With c₀ = 0 the cell state is a sum over the words that wrote it, and nothing else:
#
# c_T = Σ_t S_t ∘ i_t ∘ g_t, where S_t = f_{t+1} ∘ … ∘ f_T
#
# S_t is the share of what word t wrote that survives to the end. This is the "elimination of
# unused information", measured.

# %%
from lstm_jax.explain.ledger import cell_ledger, survival, written

ledger = cell_ledger(steps, lengths)
print("largest difference:", float(jnp.abs(ledger.sum(axis=1) - steps.cell[:, -1]).max()))

wrote = jnp.abs(written(steps))[0]
left = (wrote * survival(steps, lengths)[0]).sum(axis=1)
figure, axis = plt.subplots(figsize=(9, 3), layout="constrained")
axis.bar(range(len(words)), wrote.sum(axis=1), color="0.85", label="written")
axis.bar(range(len(words)), left, color="#1f5fa8", label="left at the end")
axis.set_xticks(range(len(words)), words, rotation=70, ha="right", fontsize=8)
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# Little survives by itself for long: what matters is written again. So a word's part in the answer
# is better said by passing the answer's relevance back through time (`--method lrp`), which adds
# up just as exactly:

# %%
run.explain(text)

# %% [markdown]
# ## Memory over many steps: the adding task
#
# Two of the numbers in a sequence are marked. The target is their sum. The network must keep the
# first one until the second one comes, and ignore all others (Hochreiter & Schmidhuber, 1997).

# %%
import optax

length, hidden_size, training_steps = 30, 24, 1500


def batch(key, size=64):
    values_key, first_key, second_key = jax.random.split(key, 3)
    values = jax.random.uniform(values_key, (size, length))
    first = jax.random.randint(first_key, (size,), 0, length // 2)
    second = jax.random.randint(second_key, (size,), length // 2, length)
    marks = jax.nn.one_hot(first, length) + jax.nn.one_hot(second, length)
    return jnp.stack([values, marks], axis=-1), (values * marks).sum(axis=1)


def predict(weights, inputs):
    _, state = lstm(weights["lstm"], inputs)
    return state.hidden @ weights["head"]


def loss(weights, inputs, targets):
    return ((predict(weights, inputs) - targets) ** 2).mean()


weights = {
    "lstm": init_lstm(jax.random.key(0), 2, hidden_size),
    "head": jax.random.normal(jax.random.key(1), (hidden_size,)) / hidden_size**0.5,
}
optimizer = optax.adam(5e-3)


@jax.jit
def step(weights, moments, key):
    value, gradients = jax.value_and_grad(loss)(weights, *batch(key))
    updates, moments = optimizer.update(gradients, moments)
    return optax.apply_updates(weights, updates), moments, value


moments, losses = optimizer.init(weights), []
for number in range(training_steps):
    weights, moments, value = step(weights, moments, jax.random.key(100 + number))
    losses.append(float(value))
print(f"mean squared error: {np.mean(losses[-50:]):.4f}; of always saying 1: 0.1667")

# %%
from lstm_jax.explain.trace import lstm_steps

inputs, targets = batch(jax.random.key(7), size=1)
steps = lstm_steps("lstm", weights["lstm"]._asdict(), inputs, jnp.array([length]))
figure, (above, below) = plt.subplots(
    2, 1, figsize=(9, 4.5), sharex=True, layout="constrained", height_ratios=(1, 2)
)
above.bar(range(length), inputs[0, :, 0], color=np.where(inputs[0, :, 1] > 0, "#c2541b", "0.85"))
above.set_title("the numbers; the marked ones are orange", loc="left", fontsize=10)
below.plot(steps.cell[0], color="0.8", linewidth=0.8)
below.plot(steps.cell[0][:, jnp.abs(steps.cell[0]).max(axis=0).argmax()], color="#1f5fa8")
below.set_title("the cell state of every unit; one in blue", loc="left", fontsize=10)
plt.show()
print(f"sum {float(targets[0]):.3f}, predicted {float(predict(weights, inputs)[0]):.3f}")

# %% [markdown]
# The memory moves where a number is marked, and holds in between.
#
# ## Forward, backward, bidirectional
#
# A **forward** LSTM knows at each word what came before. A **backward** one reads from the end, and
# knows what comes after. A **bidirectional** one is both, side by side.

# %%
from lstm_jax import Bidirectional, bidirectional_lstm

both = Bidirectional(*(init_lstm(jax.random.key(n), 2, hidden_size) for n in (3, 4)))
outputs, state = bidirectional_lstm(both, inputs)
forward, _ = lstm(both.forward, inputs)
backward, _ = lstm(both.backward, inputs, reverse=True)
print(outputs.forward.shape, bool((outputs.forward == forward).all()))
print(outputs.backward.shape, bool((outputs.backward == backward).all()))
