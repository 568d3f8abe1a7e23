"""Halves that predict each other, and what starts from it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from rich.console import Console

import lstm_jax
from lstm_jax.text import Batch, Phrases
from lstm_jax.train import loop
from lstm_jax.train.halves import (
    HalfModel,
    Halves,
    Targets,
    halves,
    mean_half_loss,
    random_starts,
)
from lstm_jax.train.pretraining import pretrain

QUIET = Console(quiet=True)
V = 20
TEXTS = [np.array(ids, np.int32) for ids in ([1, 5, 6, 5, 6, 7], [1, 5, 6, 8], [1, 9], [1], [])]
PHRASES = Phrases.find(TEXTS, V, (3, 2))


def batch_of(sequences, width=7) -> Batch:
    tokens = np.zeros((len(sequences), width), np.int32)
    for row, ids in enumerate(sequences):
        tokens[row, : len(ids)] = ids
    lengths = np.array([len(ids) for ids in sequences], np.int32)
    ones = np.ones(len(sequences), np.float32)
    return Batch(tokens, lengths, 0 * lengths, ones, np.arange(len(sequences), dtype=np.int32))


def objective_of(phrases) -> Halves:
    config = small.replace_dropout(small.CONFIG.model)
    return Halves(HalfModel(config, Targets.count(TEXTS, V, phrases)))


def test_halves_are_the_two_parts_of_a_ring(rng):
    sequences = [rng.integers(3, V, n).astype(np.int32) for n in (7, 6, 1, 0, 3)]
    for starts in ([0, 0, 0, 0, 0], [1, 5, 0, 0, 2], [6, 3, 0, 0, 1]):
        batch = batch_of(sequences)
        tokens, lengths = map(np.asarray, halves(*map(jnp.asarray, (*batch[:2], starts))))
        assert tokens.shape == (10, 4)
        for row, (ids, start) in enumerate(zip(sequences, starts, strict=True)):
            parts = np.split(np.roll(ids, -start), [len(ids) // 2])
            for place, half in zip((row, 5 + row), parts, strict=True):
                assert lengths[place] == len(half)
                np.testing.assert_array_equal(tokens[place], np.pad(half, (0, 4 - len(half))))


def test_a_ring_is_cut_anywhere_and_otherwise_each_time():
    lengths = jnp.array([7, 1, 0, 4] * 50)
    drawn = [np.asarray(random_starts(jax.random.key(n), lengths)) for n in (0, 0, 1)]
    assert set(drawn[0][::4]) == set(range(7))
    assert set(drawn[0][3::4]) == set(range(4))
    assert (drawn[0][1::4] == 0).all()
    assert (drawn[0][2::4] == 0).all()
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).mean() > 0.3


def test_targets_are_counted_once_a_half():
    targets = Targets.count(TEXTS, V, None)
    # Ten halves: 5 stands in three of them, 9 in one.
    np.testing.assert_allclose(targets.shares[[5, 9, 10]], [0.3, 0.1, 1e-6])
    weights = targets.weights
    np.testing.assert_allclose(weights[[5, 9, 10]], [np.sqrt(0.01 / 0.3), np.sqrt(0.1), 1])
    assert (weights[:3] == 0).all()


def test_phrases_are_numbered_behind_words():
    targets = Targets.count(TEXTS, V, PHRASES)
    twos, threes = PHRASES.codes
    assert len(targets.shares) == V + len(twos) + len(threes)
    tokens = np.array([[1, 5, 6, 8, 6, 5]])
    numbers = targets.numbers(tokens)
    np.testing.assert_array_equal(numbers, targets.numbers(jnp.asarray(tokens), jnp))
    place = np.searchsorted(twos, 5 * V + 6)
    assert twos[place] == 5 * V + 6
    none = len(targets.shares)
    assert numbers[0, 6:12].tolist().count(V + place) == 1
    assert numbers[0, 6 + 2] == V + place
    assert numbers[0, 6 + 5] == none  # "6 5" is in one text alone


@pytest.mark.parametrize("phrases", [None, PHRASES], ids=["words", "phrases"])
def test_the_loss_is_that_of_its_equation(phrases, rng):
    """Word by word, in float64, from the probabilities that the model gives."""
    objective = objective_of(phrases)
    params = objective.init(jax.random.key(0))
    params = jax.tree.map(lambda a: a + 0.3 * rng.normal(size=a.shape).astype(np.float32), params)
    batch = batch_of(TEXTS)
    (loss, totals), _ = objective.gradient(params, batch, jax.random.key(1))
    starts = random_starts(jax.random.key(1), jnp.asarray(batch.lengths))
    assert (starts > 0).any()
    expected, correct, counted = by_words(objective, params, batch, starts)
    assert (float(totals.examples), float(totals.correct)) == (counted, correct)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    measured = mean_half_loss(objective, [batch, batch], params)["loss"]
    expected, _, counted = by_words(objective, params, batch, jnp.zeros_like(starts))
    assert measured == pytest.approx(expected, rel=1e-5)
    assert counted == 5  # nothing can be told of or by the start symbol, or nothing


@pytest.mark.parametrize("phrases", [None, PHRASES], ids=["words", "phrases"])
def test_all_parameters_learn(phrases):
    """Not in every batch: a known phrase may be cut through."""
    objective = objective_of(phrases)
    params, batch = objective.init(jax.random.key(0)), batch_of(TEXTS)
    gradients = [objective.gradient(params, batch, jax.random.key(n))[1] for n in range(4)]
    largest = jax.tree.map(lambda *arrays: max(np.abs(array).max() for array in arrays), *gradients)
    assert min(jax.tree.leaves(largest)) > 0


def by_words(objective, params, batch, starts) -> tuple[float, int, int]:
    """The mean loss of the halves of TEXTS, how often the likeliest word was right, of how many."""
    targets = objective.model.targets
    tokens, lengths = halves(*map(jnp.asarray, batch[:2]), starts)
    logits = np.asarray(objective.model.apply({"params": params}, tokens, lengths), np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found, right = [], 0
    for row, ids in enumerate(TEXTS):
        one, other = np.split(np.roll(ids, -int(starts[row])), [len(ids) // 2])
        for place, half, partner in ((row, one, other), (len(TEXTS) + row, other, one)):
            words = {n for n in targets.numbers(partner) if n < len(targets.shares)}
            a = {n: float(targets.weights[n]) for n in words}
            if len(half) and sum(a.values()) > 0:
                right += logs[place].argmax() in [n for n in words if a[n] > 0]
                found.append(-sum(a[n] * logs[place, n] for n in words) / sum(a.values()))
    return float(np.mean(found)), right, len(found)


def test_filler_rows_change_nothing(rng):
    objective = objective_of(PHRASES)
    params = objective.init(jax.random.key(0))
    filled = batch_of([*TEXTS, TEXTS[0]])
    filled = filled._replace(weights=np.array([1, 1, 1, 1, 1, 0], np.float32))
    (loss, _), _ = objective.gradient(params, batch_of(TEXTS), jax.random.key(1))
    (same, _), _ = objective.gradient(params, filled, jax.random.key(1))
    assert float(same) == pytest.approx(float(loss), rel=1e-5)


def test_each_is_at_first_as_likely_as_in_all_halves():
    objective = objective_of(None)
    targets = objective.model.targets
    params = objective.init(jax.random.key(0))
    shares = targets.weights * targets.shares
    np.testing.assert_allclose(jax.nn.softmax(params["bias"]), shares / shares.sum(), atol=1e-5)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Of texts of two kinds, each with words of its own, among others that both have."""
    rng = np.random.default_rng(0)
    own = [[f"{kind}{n}" for n in range(6)] for kind in ("sun", "rain")]
    texts = [
        " ".join(rng.permutation([*rng.choice(own[n % 2], 4), *rng.choice(small.WORDS, 8)]))
        for n in range(300)
    ]
    path = tmp_path_factory.mktemp("runs") / "model"
    config = replace(
        small.CONFIG,
        text=replace(small.CONFIG.text, phrases=(30,), window=3),
        train=replace(small.CONFIG.train, epochs=6),
    )
    how = {"name": "weather", "command": "test", "console": QUIET}
    return path, config, texts, pretrain(config, texts, path, **how)


def test_features_tell_kinds_apart_that_no_label_has_named(pretrained):
    """What kind a half is says which six of twelve words the other may have, so the loss falls."""
    path, _, _, result = pretrained
    assert result["predicts"] == "halves"
    lines = [line for line in small.lines(path / "metrics.jsonl") if "validation_loss" in line]
    losses = [float(line.split('"validation_loss": ')[1].split(",")[0]) for line in lines]
    assert min(losses) < losses[0] - 0.1
    assert result["validation_loss"] == pytest.approx(min(losses), abs=1e-6)


def test_a_classifier_starts_from_it_phrases_included(pretrained, tmp_path):
    path, config, _, _ = pretrained
    loop.train(config, small.corpus(), tmp_path / "run", command="", init=path, console=QUIET)
    run = lstm_jax.load(tmp_path / "run")
    for name in ("tokenizer.json", "phrases.json"):
        assert (tmp_path / "run" / name).read_text() == (path / name).read_text()
    assert run.predict(["verdict1 film"]).shape == (1, 2)


def test_one_that_was_stopped_ends_with_the_same_bits(pretrained, tmp_path, monkeypatch):
    path, config, texts, _ = pretrained
    save, saved = lstm_jax.train.checkpoints.Checkpoints.save, []

    def stop_at_the_second(self, *arguments):
        save(self, *arguments)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    how = {"name": "weather", "command": "test", "console": QUIET}
    with monkeypatch.context() as patched:
        patched.setattr(lstm_jax.train.checkpoints.Checkpoints, "save", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config, texts, tmp_path / "again", **how)
    pretrain(config, texts, tmp_path / "again", resume=True, **how)
    first, again = (
        lstm_jax.train.checkpoints.load_encoder(folder / "weights")
        for folder in (path, tmp_path / "again")
    )
    jax.tree.map(np.testing.assert_array_equal, first, again)
