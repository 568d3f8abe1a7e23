"""A run made smaller: how small, what it still says, and what it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
from numpy.typing import NDArray

import lstm_jax
from lstm_jax.data import Corpus
from lstm_jax.explain.explanation import explain
from lstm_jax.interop.export import export_run
from lstm_jax.predictor import Predictor
from lstm_jax.recipes import quantize as recipe
from lstm_jax.recipes.quantize import Quantized, quantize
from lstm_jax.text import NGrams, WordTokenizer
from lstm_jax.train.quantized import Precision, quantise, restore_weights, round_weights
from lstm_jax.train.run_folder import RunFolder

CORPUS = small.corpus(200)
assert CORPUS.test is not None
TESTED = CORPUS.test


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A trained run with n-grams of two lengths and a linear model; its tables are most of it."""
    text = replace(small.CONFIG.text, tokenizer="punctuation", ngrams=(60, 60))
    model = replace(small.CONFIG.model, linear=True, embedding_size=160, hidden_size=24)
    path = tmp_path_factory.mktemp("quantize") / "run"
    small.train(replace(small.CONFIG, text=text, model=model), CORPUS, path)
    return lstm_jax.load(path)


def made(run: Predictor, out: Path, size: int, corpus: Corpus | None = None) -> Quantized:
    """A smaller run in a folder."""
    return quantize(run, out, size, command="test", examples=corpus.test if corpus else None)


def bytes_of(path: Path) -> int:
    """Of all files."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def ngrams_of(run: Predictor) -> int:
    """How many have a vector."""
    return 0 if run.model.ngrams is None else sum(map(len, run.model.ngrams.keys))


@pytest.mark.parametrize("levels", [7, 127, 2047])
def test_a_rounded_number_is_off_by_half_a_step_at_most(rng, levels):
    matrix = rng.normal(size=(30, 20)) * np.exp(rng.normal(size=(30, 1)))
    numbers, scales, step = quantise(matrix, levels)
    assert numbers.dtype == (np.int8 if levels <= 127 else np.int16)
    assert np.abs(numbers).max() <= levels
    # The scales are rounded too, by less than a step of theirs.
    most = np.abs(matrix).max(axis=1, keepdims=True) / levels / 2
    assert np.all(np.abs(numbers * scales[:, None] * step - matrix) <= most + levels * step)


def test_weights_come_back_in_their_shapes_and_small_ones_unchanged(rng):
    params = {
        "embedding": {"table": rng.normal(size=(100, 32)), "ngrams_of_2": np.zeros((50, 32))},
        "stack": {"kernel": rng.normal(size=(40, 5, 8)), "bias": rng.normal(size=8)},
    }
    params["embedding"]["ngrams_of_2"][:] = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 32))
    found = restore_weights(round_weights(params, Precision(ngram_rank=3)), params)
    for name, part in params.items():
        for of, array in part.items():
            assert found[name][of].shape == array.shape
            np.testing.assert_allclose(found[name][of], array, atol=0.01 * np.abs(array).max())
    np.testing.assert_array_equal(found["stack"]["bias"], params["stack"]["bias"].astype("f4"))


@pytest.mark.parametrize("share", [0.9, 0.5, 0.3])
def test_a_run_has_the_size_asked_for_and_says_nearly_the_same(run, tmp_path, share):
    size = int(share * bytes_of_run(run))
    found = made(run, tmp_path / "small", size, CORPUS)
    # All of its files, not those alone that a prediction needs.
    assert bytes_of(tmp_path / "small") == sum(found.sizes[1].values()) <= size
    assert sum(found.sizes[0].values()) == bytes_of_run(run)
    smaller = lstm_jax.load(tmp_path / "small")
    before, after = run.predict_proba(TESTED.texts), smaller.predict_proba(TESTED.texts)
    assert np.abs(before - after).mean() < 0.03
    assert found.measured is not None
    assert found.measured.changed == (before.argmax(1) != after.argmax(1)).sum()
    assert found.measured.before.accuracy == run.evaluate(TESTED).accuracy
    assert found.measured.after.accuracy == smaller.evaluate(TESTED).accuracy


def bytes_of_run(run: Predictor) -> int:
    """Of what a prediction needs."""
    return sum(file.stat().st_size for file in RunFolder(run.path).predicted_from())


def test_precision_goes_first_then_ngrams_then_words(run):
    every, words = ngrams_of(run), run.tokenizer.vocabulary_size

    def cost(plan: recipe.Plan) -> int:
        precision = len(recipe.PRECISIONS) - recipe.PRECISIONS.index(plan.precision)
        return 1000 * precision + plan.ngrams + 10 * plan.vocabulary

    whole = cost(recipe.Plan(recipe.PRECISIONS[0], every, words))
    found = [
        recipe._largest(run, lambda plan, most=most: cost(plan) <= most) for most in range(whole)
    ]
    plans = [plan for plan in found if plan is not None]
    assert plans[-1].precision == recipe.PRECISIONS[1]
    assert (plans[0].ngrams, plans[0].vocabulary) == (0, max(4, words // recipe.FEWEST_WORDS))
    assert [cost(plan) for plan in plans] == sorted(cost(plan) for plan in plans)
    for plan in plans:
        assert plan.precision == recipe.PRECISIONS[-1] or plan.ngrams == every
        assert plan.ngrams == 0 or plan.vocabulary == words


def test_what_is_left_of_words_and_ngrams_still_predicts(run):
    for kept in (
        recipe.Plan(recipe.PRECISIONS[-1], 5, 13),
        recipe.Plan(recipe.PRECISIONS[-1], 0, 8),
    ):
        smaller = recipe.make_smaller(run, kept)
        opened = Predictor(
            run.path,
            run.config,
            run.class_names,
            smaller.tokenizer,
            smaller.params,
            ngrams=smaller.ngrams,
        )
        assert opened.tokenizer.vocabulary_size == min(
            kept.vocabulary, run.tokenizer.vocabulary_size
        )
        assert ngrams_of(opened) in range(kept.ngrams, 2 * kept.ngrams + 1)
        assert np.isfinite(opened.predict_proba(["verdict1", ""])).all()


def smallest(run: Predictor, tmp_path: Path) -> int:
    """The least number of bytes, as a refusal says it."""
    with pytest.raises(ValueError, match="max_mb must be at least") as refused:
        made(run, tmp_path / "least", 100)
    assert list(tmp_path.glob("*least*")) == []
    return round(1e6 * float(str(refused.value).split()[5]))


def test_a_refusal_says_what_is_possible(run, tmp_path):
    least = smallest(run, tmp_path)
    made(run, tmp_path / "small", least)
    assert least - 10_000 - 3 * recipe.MARGIN <= bytes_of(tmp_path / "small") <= least


@pytest.fixture(scope="module")
def smaller(run: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was made smaller, to read only."""
    out = tmp_path_factory.mktemp("quantize") / "small"
    made(run, out, bytes_of_run(run) // 2)
    return out


def test_a_smaller_run_explains_and_exports_like_any(smaller, tmp_path):
    opened = lstm_jax.load(smaller)
    (explained,) = explain(opened, ["good verdict1 film"])
    assert abs(explained.error or 0) < 1e-4
    export_run(opened, tmp_path / "shipped", "onnx")  # which compares what it exports


def test_what_needs_trained_weights_refuses_a_smaller_run(run, smaller, tmp_path):
    message = f"must be a run as it was trained, and {smaller} is quantised"
    with pytest.raises(ValueError, match=f"run {message}"):
        made(lstm_jax.load(smaller), tmp_path / "smaller", 10**9)
    with pytest.raises(ValueError, match=f"init {message}"):
        small.train(run.config, CORPUS, tmp_path / "new", init=smaller)
    with pytest.raises(ValueError, match=f"run {message}"):
        small.train(run.config, CORPUS, smaller, resume=True)


@pytest.mark.parametrize("name", ["quantized.json", "tokenizer.json", "ngrams.json", "weights"])
def test_a_damaged_file_is_named(smaller, tmp_path, name):
    shutil.copytree(smaller, tmp_path / "small")
    file = tmp_path / "small" / name
    if file.is_dir():
        file = max((f for f in file.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=name):
        lstm_jax.load(tmp_path / "small")


def test_a_folder_that_is_there_stays(run, tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine").write_text("kept", encoding="utf-8")
    with pytest.raises((ValueError, OSError), match="small"):
        made(run, tmp_path / "small", 10**9)
    assert (tmp_path / "small" / "mine").read_text(encoding="utf-8") == "kept"


def test_pruned_ngrams_are_found_where_they_were_and_others_nowhere(rng):
    texts = [rng.integers(1, 9, rng.integers(1, 30)).astype(np.int32) for _ in range(60)]
    ngrams = NGrams.find(texts, 9, [30, 40, 20])
    kept = [rng.random(len(keys)) < 0.5 for keys in ngrams.keys]
    fewer, rows = ngrams.pruned(kept, 7)
    assert [len(part) for part in rows] == [len(keys) for keys in fewer.keys]
    for text in texts:
        tokens = np.where(text < 7, text, 1)
        before, after = ngrams.ids(tokens), fewer.ids(tokens)
        for length, (old, new, row) in enumerate(zip(before, after, rows, strict=True)):
            there = new < len(row)
            np.testing.assert_array_equal(row[new[there]], old[there])
            asked_for = (old < len(kept[length])) & np.append(kept[length], False)[old]
            assert not np.any(asked_for & ~there)
    # What was not asked for is there only as the beginning of a longer one.
    for length, (part, keep) in enumerate(zip(rows, kept, strict=True)):
        extra = part[~keep[part]]
        if length + 1 < len(fewer.keys):
            begins = np.unique(ngrams.keys[length + 1][rows[length + 1]] // 9)
            assert np.isin(extra, begins).all()
        else:
            assert len(extra) == 0


def encoded(tokenizer: WordTokenizer, text: str) -> NDArray[np.integer]:
    """The ids of a text."""
    return tokenizer.encode_batch([text])[0]


def test_words_left_out_become_unknown():
    tokenizer = WordTokenizer.train(["a a a b b c"], preset="punctuation", vocabulary_size=10)
    start, a, b, c = encoded(tokenizer, "a b c").tolist()
    _, unknown = encoded(tokenizer, "zzz").tolist()
    assert a < b < c
    fewer = tokenizer.most_frequent(c)
    assert fewer.vocabulary_size == c
    assert encoded(fewer, "a b c").tolist() == [start, a, b, unknown]


def test_the_record_says_what_was_made_of_what(run, smaller):
    saved = json.loads((smaller / "quantized.json").read_text(encoding="utf-8"))
    assert saved["source"] == RunFolder(run.path).fingerprint()
    assert saved["ngrams"][0] == ngrams_of(run)
    assert RunFolder(smaller).fingerprint() != saved["source"]
