"""Views that predict each other, and what starts from it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from small import pretrain

import lstm_jax
from lstm_jax.data import Batch
from lstm_jax.models.two_view import BagOfNGrams, TwoViewModel
from lstm_jax.text import NGrams
from lstm_jax.train import checkpoints
from lstm_jax.train.evaluation import PretrainingEvaluator
from lstm_jax.train.losses import TwoView
from lstm_jax.train.losses.two_view import random_starts, views

V = 20
TEXTS = [np.array(ids, np.int32) for ids in ([1, 5, 6, 5, 6, 7], [1, 5, 6, 8], [1, 9], [1], [])]
NGRAMS = NGrams.find(TEXTS, V, (3, 2))


def batch_of(sequences, width=7) -> Batch:
    tokens = np.zeros((len(sequences), width), np.int32)
    for row, ids in enumerate(sequences):
        tokens[row, : len(ids)] = ids
    lengths = np.array([len(ids) for ids in sequences], np.int32)
    ones = np.ones(len(sequences), np.float32)
    return Batch(tokens, lengths, 0 * lengths, ones, np.arange(len(sequences), dtype=np.int32))


def loss_of(ngrams) -> TwoView:
    config = small.replace_dropout(small.CONFIG.model)
    return TwoView(TwoViewModel(config, BagOfNGrams.count(TEXTS, V, ngrams)))


def test_views_are_the_two_parts_of_a_ring(rng):
    sequences = [rng.integers(3, V, n).astype(np.int32) for n in (7, 6, 1, 0, 3)]
    for starts in ([0, 0, 0, 0, 0], [1, 5, 0, 0, 2], [6, 3, 0, 0, 1]):
        batch = batch_of(sequences)
        tokens, lengths = map(np.asarray, views(*map(jnp.asarray, (*batch[:2], starts))))
        assert tokens.shape == (10, 4)
        for row, (ids, start) in enumerate(zip(sequences, starts, strict=True)):
            parts = np.split(np.roll(ids, -start), [len(ids) // 2])
            for place, view in zip((row, 5 + row), parts, strict=True):
                assert lengths[place] == len(view)
                np.testing.assert_array_equal(tokens[place], np.pad(view, (0, 4 - len(view))))


def test_a_ring_is_cut_anywhere_and_otherwise_each_time():
    lengths = jnp.array([7, 1, 0, 4] * 50)
    drawn = [np.asarray(random_starts(jax.random.key(n), lengths)) for n in (0, 0, 1)]
    assert set(drawn[0][::4]) == set(range(7))
    assert set(drawn[0][3::4]) == set(range(4))
    assert (drawn[0][1::4] == 0).all()
    assert (drawn[0][2::4] == 0).all()
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).mean() > 0.3


def test_tokens_are_counted_once_a_view():
    bag = BagOfNGrams.count(TEXTS, V, None)
    # Ten views: 5 stands in three of them, 9 in one.
    np.testing.assert_allclose(bag.frequencies[[5, 9, 10]], [0.3, 0.1, 1e-6])
    weights = bag.weights
    np.testing.assert_allclose(weights[[5, 9, 10]], [np.sqrt(0.01 / 0.3), np.sqrt(0.1), 1])
    assert (weights[:3] == 0).all()


def test_ngrams_have_ids_behind_those_of_tokens():
    bag = BagOfNGrams.count(TEXTS, V, NGRAMS)
    twos, threes = NGRAMS.keys
    assert len(bag.frequencies) == V + len(twos) + len(threes)
    tokens = np.array([[1, 5, 6, 8, 6, 5]])
    ids = bag.ids(tokens)
    np.testing.assert_array_equal(ids, bag.ids(jnp.asarray(tokens), jnp))
    place = np.searchsorted(twos, 5 * V + 6)
    assert twos[place] == 5 * V + 6
    none = len(bag.frequencies)
    assert ids[0, 6:12].tolist().count(V + place) == 1
    assert ids[0, 6 + 2] == V + place
    assert ids[0, 6 + 5] == none  # "6 5" is in one text alone


@pytest.mark.parametrize("ngrams", [None, NGRAMS], ids=["words", "ngrams"])
def test_the_loss_is_that_of_its_equation(ngrams, rng):
    """Word by word, in float64, from the probabilities that the model gives."""
    loss = loss_of(ngrams)
    params = loss.init(jax.random.key(0))
    params = jax.tree.map(lambda a: a + 0.3 * rng.normal(size=a.shape).astype(np.float32), params)
    batch = batch_of(TEXTS)
    value, totals = loss(params, batch, jax.random.key(1))
    starts = random_starts(jax.random.key(1), jnp.asarray(batch.lengths))
    assert (starts > 0).any()
    expected, correct, counted = by_words(loss, params, batch, starts)
    assert (float(totals.examples), float(totals.correct)) == (counted, correct)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    measured = PretrainingEvaluator(loss, [batch, batch])(params)["loss"]
    expected, _, counted = by_words(loss, params, batch, jnp.zeros_like(starts))
    assert measured == pytest.approx(expected, rel=1e-5)
    assert counted == 5  # nothing can be told of or by the start symbol, or nothing


@pytest.mark.parametrize("ngrams", [None, NGRAMS], ids=["words", "ngrams"])
def test_all_parameters_learn(ngrams):
    """Not in every batch: a known n-gram may be cut through."""
    loss = loss_of(ngrams)
    params, batch = loss.init(jax.random.key(0)), batch_of(TEXTS)
    gradient = jax.grad(loss, has_aux=True)
    gradients = [gradient(params, batch, jax.random.key(n))[0] for n in range(4)]
    largest = jax.tree.map(lambda *arrays: max(np.abs(array).max() for array in arrays), *gradients)
    assert min(jax.tree.leaves(largest)) > 0


def by_words(loss, params, batch, starts) -> tuple[float, int, int]:
    """The mean loss of the views of TEXTS, how often the likeliest word was right, of how many."""
    bag = loss.model.bag
    tokens, lengths = views(*map(jnp.asarray, batch[:2]), starts=starts)
    logits = np.asarray(loss.model.apply({"params": params}, tokens, lengths), np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found, right = [], 0
    for row, ids in enumerate(TEXTS):
        one, other = np.split(np.roll(ids, -int(starts[row])), [len(ids) // 2])
        for place, view, partner in ((row, one, other), (len(TEXTS) + row, other, one)):
            words = {n for n in bag.ids(partner) if n < len(bag.frequencies)}
            a = {n: float(bag.weights[n]) for n in words}
            if len(view) and sum(a.values()) > 0:
                right += logs[place].argmax() in [n for n in words if a[n] > 0]
                found.append(-sum(a[n] * logs[place, n] for n in words) / sum(a.values()))
    return float(np.mean(found)), right, len(found)


def test_padding_rows_change_nothing():
    loss = loss_of(NGRAMS)
    params = loss.init(jax.random.key(0))
    padded = batch_of([*TEXTS, TEXTS[0]])
    padded = padded._replace(weights=np.array([1, 1, 1, 1, 1, 0], np.float32))
    value, _ = loss(params, batch_of(TEXTS), jax.random.key(1))
    same, _ = loss(params, padded, jax.random.key(1))
    assert float(same) == pytest.approx(float(value), rel=1e-5)


def test_each_is_at_first_as_likely_as_in_all_views():
    loss = loss_of(None)
    bag, params = loss.model.bag, loss.init(jax.random.key(0))
    expected = bag.weights * bag.frequencies
    chances = jax.nn.softmax(params["bias"])
    np.testing.assert_allclose(chances, expected / expected.sum(), atol=1e-5)


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
        text=replace(small.CONFIG.text, ngrams=(30,), cooccurrence_window=3),
        train=replace(small.CONFIG.train, epochs=6),
    )
    return path, config, texts, pretrain(config, texts, path, name="weather")


def test_features_tell_kinds_apart_that_no_label_has_named(pretrained):
    """What kind a view is says which six of twelve words the other may have, so the loss falls."""
    path, _, _, result = pretrained
    assert result.outcome.objective == "two_view"
    lines = [line for line in small.lines(path / "metrics.jsonl") if "validation_loss" in line]
    losses = [float(line.split('"validation_loss": ')[1].split(",")[0]) for line in lines]
    assert min(losses) < losses[0] - 0.1
    assert result.validation["loss"] == pytest.approx(min(losses), abs=1e-6)


def test_a_classifier_starts_from_it_ngrams_included(pretrained, tmp_path):
    path, config, _, _ = pretrained
    small.train(config, small.corpus(), tmp_path / "run", init=path)
    run = lstm_jax.load(tmp_path / "run")
    for name in ("tokenizer.json", "ngrams.json"):
        assert (tmp_path / "run" / name).read_text() == (path / name).read_text()
    assert run.predict_proba(["verdict1 film"]).shape == (1, 2)


def test_one_that_was_stopped_ends_with_the_same_bits(pretrained, tmp_path, monkeypatch):
    path, config, texts, _ = pretrained
    save, saved = checkpoints.Checkpoints.save, []

    def stop_at_the_second(self, *arguments):
        save(self, *arguments)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.Checkpoints, "save", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config, texts, tmp_path / "again", name="weather")
    pretrain(config, texts, tmp_path / "again", name="weather", resume=True)
    first, again = (
        checkpoints.load_encoder(folder / "weights") for folder in (path, tmp_path / "again")
    )
    jax.tree.map(np.testing.assert_array_equal, first, again)
