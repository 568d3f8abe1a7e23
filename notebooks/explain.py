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
# # Why was a text classified so?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/explain.ipynb)
#
# One text, every method, where they agree, and a unit's memory. On Colab, put the address of this
# repository in place of REPOSITORY and run the next cell first.

# %%
# !git clone --depth 1 https://github.com/REPOSITORY lstm_jax && pip install -q -e ./lstm_jax
# %cd lstm_jax

# %%
import matplotlib.pyplot as plt
import numpy as np

import lstm_jax
from lstm_jax.data import generate_reviews

count, epochs = 8500, 5
texts, labels = generate_reviews(count, seed=0)
names = np.array(["negative", "positive"])[labels]
settings = {
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
held_out, truth = texts[count - 500 :], names[count - 500 :]
print(
    f"accuracy on 500 reviews that it has not seen: {(run.predict(held_out) == truth).mean():.1%}"
)

# %%
text = min(held_out, key=lambda text: abs(len(text) - 150))
run.explain(text)

# %% [markdown]
# Blue words speak for the class, orange words against it. The last line is the proof: the words and
# the biases add up to the logit.
#
# ## Every method

# %%
from lstm_jax.explain.names import METHODS

scores = {method: dict(enumerate(run.explain(text, method=method).words())) for method in METHODS}
words = [word for word, _ in scores["lrp"].values()]
values = np.array([[score for _, score in scores[method].values()] for method in METHODS])
values /= np.abs(values).max(axis=1, keepdims=True)
figure, axis = plt.subplots(figsize=(10, 3.2), layout="constrained")
axis.imshow(values, aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
axis.set_yticks(range(len(METHODS)), METHODS)
axis.set_xticks(range(len(words)), words, rotation=70, ha="right", fontsize=8)
plt.show()

# %% [markdown]
# ## Where they agree
#
# Spearman's rank correlation of the words' scores, the mean over 30 texts.

# %%
from lstm_jax.explain.explanation import explain
from lstm_jax.explain.faithfulness import agreement

some = held_out[:30]
by_method = {
    method: [np.array([s for _, s in each.words()]) for each in explain(run, some, method=method)]
    for method in METHODS
}
for method, others in agreement(by_method).items():
    print(f"{method:22}", *(f"{value:6.2f}" for value in others.values()))

# %% [markdown]
# ## Whether they are right
#
# Words are taken away in the order of each method. A faithful one finds the words that the
# prediction stands on: without them the probability falls far (comprehensiveness).

# %%
from lstm_jax.explain.faithfulness import measure_faithfulness
from lstm_jax.train.metrics import probabilities

ids = run.tokenizer.encode_batch(some)
predicted = lambda rows: probabilities(run.logits_of_ids(rows))  # noqa: E731
rng = np.random.default_rng(0)
by_method["random"] = [rng.random(len(each)) for each in by_method["lrp"]]
for method, of_texts in by_method.items():
    orders = [np.argsort(-each, kind="stable") + 1 for each in of_texts]
    found = measure_faithfulness(predicted, ids, orders)
    print(f"{method:22} comprehensiveness {found.comprehensiveness:.3f}")

# %% [markdown]
# ## One unit's memory
#
# The unit whose cell state moves most in this text: what it wrote at each word, and its state.

# %%
import jax.numpy as jnp

from lstm_jax.explain.ledger import half_life, written
from lstm_jax.explain.trace import trace_classifier

(row,) = run.tokenizer.encode_batch([text])
tokens, lengths = jnp.asarray(row)[None], jnp.array([len(row)])
direction = trace_classifier(run.model, run.params, tokens, lengths).layers[-1].directions[0]
steps = direction.steps
unit = int(jnp.ptp(steps.cell[0], axis=0).argmax())
figure, axis = plt.subplots(figsize=(10, 3), layout="constrained")
axis.bar(range(len(row)), written(steps)[0, :, unit], color="0.8", label="written")
axis.plot(steps.cell[0, :, unit], color="#1f5fa8", label="cell state")
axis.set_xticks(range(len(row)), run.tokenizer.words(row), rotation=70, ha="right", fontsize=8)
axis.legend(frameon=False)
plt.show()
mean = float(jnp.exp(jnp.log(steps.forget[0, :, unit]).mean()))
print(f"unit {unit}: half of what is written is left after {float(half_life(mean)):.1f} words")
