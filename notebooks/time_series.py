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
# # Sequences of numbers: classify and forecast
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/time_series.ipynb)
#
# The same LSTM reads sensors and series. This takes well under a minute on two cores. On Colab, put
# the address of this repository in place of REPOSITORY and run the next cell first.

# %%
# !git clone --depth 1 https://github.com/REPOSITORY lstm_jax
# !pip install -q -e './lstm_jax[linear]'
# %cd lstm_jax

# %%
import matplotlib.pyplot as plt
import numpy as np

from lstm_jax.sequences import SequenceClassifier, SequenceForecaster

rng = np.random.default_rng(0)

# %% [markdown]
# ## Which of two bumps came first?
#
# Each sequence has one bump up and one bump down, at random places, and any length from 20 to 60.
# Both classes have the same values. Only the order tells them apart, so the mean, the maximum or a
# histogram know nothing. Some values are missing (NaN).


# %%
def bumps(count):
    sequences, labels = [], rng.choice(["down first", "up first"], count)
    for label in labels:
        length = rng.integers(20, 61)
        early, late = np.sort(rng.choice(length, 2, replace=False))
        values = rng.normal(0, 0.15, length)
        sign = 1 if label == "up first" else -1
        values[early], values[late] = sign, -sign
        values[rng.random(length) < 0.05] = np.nan
        sequences.append(values)
    return sequences, labels


count, epochs, passes = 400, 40, 20
X, y = bumps(count)
classifier = SequenceClassifier(
    hidden_size=32, learning_rate=1e-2, epochs=epochs, random_state=0
).fit(X, y)
later, truth = bumps(300)
print(f"accuracy on 300 sequences that it has not seen: {classifier.score(later, truth):.1%}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 2.2), sharey=True, layout="constrained")
for axis, sequence, label, row in zip(
    axes, later[:3], truth[:3], classifier.predict_proba(later[:3]), strict=True
):
    axis.plot(sequence, marker=".", linewidth=0.8)
    axis.set_title(f"{label}: {row[classifier.classes_.tolist().index(label)]:.0%}")
    axis.set_xlabel("step")
plt.show()

# %% [markdown]
# The title has the true class, and the probability that the classifier gives to it. Gaps are
# missing values. One in ten sequences lacks a bump, or both, and some of those cannot be known.
#
# ## What comes next, and how sure is that?
#
# A series with a trend, a season of twelve steps, noise, and a tenth of its values missing. The
# last 48 steps are kept from the forecaster.

# %%
steps = np.arange(360)
clean = 0.02 * steps + np.sin(2 * np.pi * steps / 12) + 0.4 * np.sin(2 * np.pi * steps / 37)
series = clean + rng.normal(0, 0.25, len(steps))
series[rng.random(len(steps)) < 0.1] = np.nan
known = len(steps) - 48
forecaster = SequenceForecaster(horizon=24, season=12, epochs=passes, random_state=0)
forecaster.fit(series[:known])
quantiles = forecaster.predict_quantiles()
quantiles.shape

# %% [markdown]
# A row for each of the 24 steps, and a column for each quantile: .05, .1, .25, .5, .75, .9, .95.

# %%
figure, axis = plt.subplots(figsize=(10, 3), layout="constrained")
axis.plot(steps[-120:], series[-120:], ".", color="0.5", label="observed")
ahead = np.arange(known, known + 24)
for low, high, shade in ((0, 6, 0.15), (1, 5, 0.2), (2, 4, 0.3)):
    axis.fill_between(ahead, quantiles[:, low], quantiles[:, high], color="C0", alpha=shade, lw=0)
axis.plot(ahead, quantiles[:, 3], color="C0", label="median")
axis.axvline(known, color="0.7", linewidth=0.8)
axis.set_xlabel("step")
axis.legend(loc="upper left")
plt.show()

# %% [markdown]
# ## New observations
#
# 24 more steps are observed. `update` takes them in without training, and the forecast moves on.
# `predict(y)` does the same for any series up to now.

# %%
forecaster.update(series[known : known + 24])
median = forecaster.predict()
naive = np.array([series[known + 24 - 12 + step % 12] for step in range(24)])
true = clean[known + 24 :]
print(f"mean error of the median:          {np.abs(median - true).mean():.2f}")
print(f"mean error of the last season:     {np.nanmean(np.abs(naive - true)):.2f}")

# %% [markdown]
# `forecaster.save(folder)` and `SequenceForecaster.load(folder)` keep it, and
# `lstm_jax.interop.onnx_sequences.export_onnx` writes it, scaling included, as an ONNX model. The
# guide is [docs/how-to/sequences.md](https://github.com/REPOSITORY/blob/main/docs/how-to/sequences.md).
