"""What an ensemble says of texts without labels, learnt as soft labels."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
import small

import lstm_jax
from experiments.imdb import distilled, finetuned, session
from experiments.imdb.command import Experiment, run
from lstm_jax.cli import main
from lstm_jax.cli import train as train_command
from lstm_jax.data import UNLABELLED, Batch, Dataset
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.recipes import linear, supervised
from lstm_jax.recipes.distill import Ensemble, distill
from lstm_jax.recipes.linear import fit_linear
from lstm_jax.recipes.pretrain import pretrain
from lstm_jax.train.losses import Adversarial, Classification
from lstm_jax.train.metrics import compute_metrics, ensemble_weights, probabilities
from lstm_jax.train.open_run import Request

pytest.importorskip("sklearn", reason="the linear model is scikit-learn's")
MORE = small.corpus(train=200, seed=5).train.texts
CORPUS = replace(small.corpus(train=60), unlabelled=list(MORE))
CONFIG = replace(small.CONFIG, train=replace(small.CONFIG.train, unlabelled=150, adversarial=0.1))
PART = CONFIG.validation_part


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    """The folder of a finished run to distil from."""
    path = tmp_path_factory.mktemp("member") / "run"
    small.train(small.CONFIG, CORPUS, path)
    return path


def told(soft_labels, part=PART) -> Any:
    """An ensemble of no runs that says what it is told to."""
    return SimpleNamespace(paths=[], part=part, soft_labels=soft_labels)


# The linear model -----------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_model_finds_the_word_that_decides(classes):
    corpus = small.corpus(train=90, test=60, classes=classes)
    assert corpus.test is not None
    logits = fit_linear(corpus.train.texts, corpus.train.labels, classes)(corpus.test.texts)
    assert logits.shape == (60, 1 if classes == 2 else classes)
    assert compute_metrics(logits, corpus.test.labels).accuracy >= 0.95


def test_the_linear_model_weighs_n_grams_as_naive_bayes_does():
    texts = ["good film", "good plot", "bad film", "bad plot", "good film", "bad film"]
    model = fit_linear(texts, np.array([1, 1, 0, 0, 1, 0]), 2, longest=1)
    neutral, good, bad, both = model(["film", "good", "bad", "good bad"])[:, 0]
    # r is log(0.4 / 0.1) for "good", its negative for "bad", and 0 for "film" and "plot".
    np.testing.assert_allclose(neutral, model([""])[0, 0])
    np.testing.assert_allclose(good - neutral, neutral - bad, rtol=1e-3)
    np.testing.assert_allclose(both - neutral, (good - neutral) + (bad - neutral), atol=1e-6)


def test_a_class_without_a_text_is_named():
    with pytest.raises(ValueError, match=r"labels must have each of 3 classes, got none of \[1\]"):
        fit_linear(["a b", "a b"], np.array([0, 2]), 3)


# The ensemble ---------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 4])
def test_ensemble_weights_are_at_the_least_loss(rng, classes):
    labels = rng.integers(0, classes, 500)
    columns = 1 if classes == 2 else classes
    truth = labels[:, None] * 2.0 - 1 if classes == 2 else 2.0 * np.eye(classes)[labels]
    parts = [truth + rng.normal(0, scale, (500, columns)) for scale in (1.0, 2.0)]
    parts.append(rng.normal(size=(500, columns)))  # says nothing

    def loss(weights):
        together: Any = sum(w * part for w, part in zip(weights, parts, strict=True))
        return compute_metrics(together, labels).loss

    weights = ensemble_weights(parts, labels)
    best = loss(weights)
    for place in range(3):
        for step in (-0.03, 0.03):
            others = weights + step * np.eye(3)[place]
            assert others[place] < 0 or loss(others) >= best
    assert weights[0] > weights[1] > 0.1 > weights[2] >= 0
    assert best < min(loss(row) for row in np.eye(3))


# Distillation ---------------------------------------------------------------------------------


def test_soft_labels_are_probabilities_and_mostly_right(member):
    soft_labels = Ensemble([member], CORPUS, PART).soft_labels
    assert soft_labels.shape == (200, 2)
    np.testing.assert_allclose(soft_labels.sum(1), 1, atol=1e-6)
    assert (soft_labels.argmax(1) == np.arange(200) % 2).mean() >= 0.9


def test_runs_with_one_validation_part_form_an_ensemble(member, tmp_path):
    train = replace(small.CONFIG.train, validation_seed=small.CONFIG.seed)
    other = tmp_path / "other"
    small.train(replace(small.CONFIG, seed=7, train=train), CORPUS, other)
    both, first, again = (
        Ensemble(paths, CORPUS, PART).soft_labels
        for paths in ([member, other], [member], [member, member])
    )
    np.testing.assert_allclose(first, again, atol=1e-5)  # a mean of equals
    assert np.abs(np.log(both) - np.log(first)).max() > 0.1


def test_the_logits_of_an_ensemble_are_the_weighted_sum_of_its_members(member):
    ensemble = Ensemble([member], CORPUS, PART)
    texts = CORPUS.unlabelled[:9]
    of_run, of_linear = lstm_jax.load(member).logits(texts), ensemble.linear(texts)
    expected = ensemble.weights[0] * of_run + ensemble.weights[1] * of_linear
    np.testing.assert_allclose(ensemble.logits(texts), expected, rtol=1e-6)
    expected = probabilities(ensemble.logits(CORPUS.unlabelled))
    np.testing.assert_allclose(ensemble.soft_labels, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": replace(CONFIG, seed=1)}, "same for the runs to distil from and the new one"),
        ({"part": replace(CONFIG, seed=1).validation_part}, "same for the runs to distil from"),
        (
            {
                "config": replace(CONFIG, seed=1),
                "part": replace(CONFIG, seed=1).validation_part,
            },
            "same for the runs to distil from",
        ),
        ({"corpus": replace(CORPUS, unlabelled=[])}, "needs texts without labels"),
        ({"corpus": replace(CORPUS, class_names=("a", "b"))}, "classes of a run .* the data's"),
        ({"config": small.CONFIG}, r"train\.unlabelled must be above 0 to distil, got 0"),
    ],
    ids=["config", "part", "runs", "unlabelled", "class names", "none read"],
)
def test_an_ensemble_that_does_not_fit_says_why(member, tmp_path, change, message):
    given = {"config": CONFIG, "corpus": CORPUS, "part": PART} | change
    ensemble = Ensemble([member], given["corpus"], given["part"])
    request = Request(tmp_path / "run", "test", console=small.QUIET)
    with pytest.raises(ValueError, match=message):
        distill(given["config"], given["corpus"], request, ensemble)
    assert not (tmp_path / "run").exists()


def test_a_wrong_number_of_rows_is_refused():
    ids = [np.array([1, 5])] * 200
    with pytest.raises(ValueError, match=r"soft_labels must be a row .* 200 .* got shape \(3, 2\)"):
        Dataset(ids, soft_labels=np.ones((3, 2), np.float32))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_loss_is_the_cross_entropy_with_the_soft_labels(rng, classes):
    model = TextClassifier(small.replace_dropout(small.CONFIG.model), 20, classes)
    columns = model.outputs
    soft_labels = probabilities(rng.normal(size=(4, columns)))[:, -columns:].astype(np.float32)
    labels = np.array([0, UNLABELLED, UNLABELLED, 1], np.int32)
    batch = Batch(
        rng.integers(1, 20, (4, 5)).astype(np.int32),
        np.full(4, 5, np.int32),
        labels,
        np.array([1, 1, 2, 1], np.float32),
        np.arange(4, dtype=np.int32),
        soft_labels,
    )
    loss = Classification(model)
    params = loss.init(jax.random.key(0))

    def gradient_of(loss):
        return jax.value_and_grad(loss, has_aux=True)(params, batch, jax.random.key(1))

    (value, totals), gradient = gradient_of(loss)
    logits = np.asarray(model.apply({"params": params}, batch.tokens, batch.lengths), np.float64)
    chances = probabilities(logits)
    targets = np.eye(classes)[labels]
    full = np.concatenate([1 - soft_labels, soft_labels], 1) if columns == 1 else soft_labels
    targets[1:3] = full[1:3]
    each = -(targets * np.log(chances)).sum(1)
    np.testing.assert_allclose(value, (batch.weights * each).sum() / 5, rtol=1e-5)
    assert float(totals.examples) == 2  # those with labels
    # With embeddings that are perturbed by nothing, the second loss is the first.
    _, same = gradient_of(Adversarial(loss, 1e-12))
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_each_text_has_its_own_row_in_the_batches(monkeypatch, tmp_path, classes):
    marks = np.arange(200, dtype=np.float32)  # no probabilities, but known again
    rows = np.stack([marks + 1000 * place for place in range(classes)], 1)
    seen = {}

    def fit(run, loss, iterator, **options):
        batches = iterator.batches
        for batch in (batches[n] for n in range(batches.batches_per_epoch)):
            for place in np.flatnonzero(batch.labels == UNLABELLED):
                length = batch.lengths[place]
                seen[int(batch.index[place])] = (
                    batch.soft_labels[place],
                    batch.tokens[place, :length],
                )
        iterator.close()
        tokenizer = run.folder.load_tokenizer()
        ids.extend(map(run.config.text.padding.cut, tokenizer.encode_batch(MORE)))
        raise InterruptedError

    ids = []
    monkeypatch.setattr(supervised, "fit", fit)
    corpus = replace(small.corpus(train=60, classes=classes), unlabelled=list(MORE))
    request = Request(tmp_path / "run", "test", console=small.QUIET)
    with pytest.raises(InterruptedError):
        distill(CONFIG, corpus, request, told(rows))
    assert len(seen) == 150
    drawn = np.random.default_rng(CONFIG.seed).permutation(200)[:150]
    first = min(seen)
    for index, (soft_labels, tokens) in seen.items():
        row = drawn[index - first]
        expected = rows[row]
        np.testing.assert_array_equal(soft_labels, expected[1:] if classes == 2 else expected)
        np.testing.assert_array_equal(tokens, ids[row])


def test_a_run_is_distilled_by_the_command(member, tmp_path, monkeypatch, capsys):
    table, texts = tmp_path / "train.csv", tmp_path / "texts.txt"
    rows = [
        f"{text},class {label}"
        for text, label in zip(CORPUS.train.texts, CORPUS.train.labels, strict=True)
    ]
    table.write_text("\n".join(["text,label", *rows]))
    texts.write_text("\n".join(MORE))
    asked = []

    def watched(*arguments):
        asked.append(Ensemble(*arguments))
        return asked[-1]

    monkeypatch.setattr(train_command, "Ensemble", watched)
    options = ["--unlabelled", str(texts), "--train.validation-fraction", "0.2"]
    options += ["--train.epochs", "1", "--model.hidden-size", "8"]
    start = ["lstm_jax", "train", str(table)]
    with_member = [*options, "--distill-from", str(member)]
    # Given --text.cooccurrence-window, the texts without labels are read, but not to be learnt.
    for more in ([], ["--text.cooccurrence-window", "2"]):
        monkeypatch.setattr("sys.argv", [*start, str(tmp_path / "no"), *with_member, *more])
        with pytest.raises(SystemExit):
            main()  # --train.unlabelled is 0
        assert "--train.unlabelled" in capsys.readouterr().err
        assert not (tmp_path / "no").exists()
    assert asked == []
    with_member += ["--train.unlabelled", "100"]
    monkeypatch.setattr("sys.argv", [*start, str(tmp_path / "run"), *with_member])
    main()
    (ensemble,) = asked
    assert (ensemble.paths, ensemble.part) == ([member], PART)
    assert "soft_labels" in vars(ensemble)
    assert lstm_jax.load(tmp_path / "run").config.train.unlabelled == 100


def test_a_finished_run_asks_its_ensemble_nothing(member, tmp_path):
    def distilled_from(ensemble, resume):
        request = Request(tmp_path / "run", "test", resume, small.QUIET)
        return distill(CONFIG, CORPUS, request, ensemble)

    first, second = (Ensemble([member], CORPUS, PART) for _ in range(2))
    result = distilled_from(first, resume=False)
    assert result.test["accuracy"] is not None
    assert result.test["accuracy"] >= 0.9
    assert "soft_labels" in vars(first)
    assert distilled_from(second, resume=True) == result
    assert vars(second).keys() == vars(Ensemble([member], CORPUS, PART)).keys()


def test_the_preset_trains_what_it_needs_before(tmp_path, monkeypatch):
    tiny = replace(small.CONFIG, train=replace(small.CONFIG.train, epochs=1))
    held_out = replace(tiny.train, validation_seed=0)
    members = tuple(replace(tiny, name="finetuned", seed=seed, train=held_out) for seed in range(2))
    learning = replace(CONFIG.train, epochs=1, validation_seed=0)
    config = replace(tiny, name="distilled", train=learning)
    asked, read, begun = [], [], {}

    def ensemble_of(*arguments):
        asked.append(Ensemble(*arguments))
        return asked[-1]

    def pretraining(config, texts, *rest):
        read.append(texts)
        return pretrain(config, texts, *rest)

    def training(config, corpus, request, *rest, init, **how):
        begun[request.path.name] = init.name
        train = distill if rest else supervised.supervised
        return train(config, corpus, request, *rest, init=init, **how)

    monkeypatch.setattr(finetuned, "PRETRAINING", replace(tiny, name="two-view"))
    monkeypatch.setattr(distilled, "MEMBERS", members)
    monkeypatch.setattr(distilled, "Ensemble", ensemble_of)
    monkeypatch.setattr(session, "pretrain", pretraining)
    for name in ("supervised", "distill"):
        monkeypatch.setattr(session, name, training)
    path = tmp_path / "record.json"
    experiment = Experiment(config, seeds=(3, 4), runs=tmp_path / "runs", record=path)
    run(distilled.PRESET, experiment, CORPUS)
    assert begun == {
        "small-finetuned-seed0": "small-two-view-seed0",
        "small-finetuned-seed1": "small-two-view-seed0",
        "small-distilled-seed3": "small-finetuned-seed1",  # each goes on from one of the members
        "small-distilled-seed4": "small-finetuned-seed0",
    }
    folders = {at.name: at for at in (tmp_path / "runs").iterdir()}
    assert folders.keys() == {"small-two-view-seed0", *begun}
    minutes = {
        name: round(json.loads((at / "result.json").read_text())["minutes"], 2)
        for name, at in folders.items()
    }
    (ensemble,) = asked  # once for all seeds
    assert [each.config.seed for each in ensemble.runs] == [0, 1]
    assert read == [[*CORPUS.train.texts, *CORPUS.unlabelled]]  # and no test example
    assert len({(at / "tokenizer.json").read_bytes() for at in folders.values()}) == 1
    record = json.loads(path.read_text())
    assert record["pretraining_minutes"] == [minutes["small-two-view-seed0"]] * 2
    both = sum(minutes[f"small-finetuned-seed{n}"] for n in (0, 1))
    assert record["ensemble_minutes"] == pytest.approx([both] * 2, abs=0.02)  # rounded
    assert record["minutes"] == [minutes[f"small-distilled-seed{n}"] for n in (3, 4)]


@pytest.mark.parametrize("lacking", ["texts without labels", "scikit-learn"])
def test_the_preset_says_what_it_lacks_before_its_members_train(tmp_path, monkeypatch, lacking):
    corpus = CORPUS
    if lacking == "scikit-learn":
        monkeypatch.setattr(linear, "find_spec", lambda name: None)
    else:
        corpus = replace(CORPUS, unlabelled=[])
    experiment = Experiment(distilled.CONFIG, runs=tmp_path / "runs")
    with pytest.raises(ValueError, match=f"needs {lacking}"):
        run(distilled.PRESET, experiment, corpus)
    assert not (tmp_path / "runs").exists()


def test_a_validation_part_that_is_not_the_members_is_refused_before_they_train(tmp_path):
    for fraction, message in (
        (0.2, "same for the runs to distil from and the new one"),
        (0.0, "must be above 0"),
    ):
        learning = replace(distilled.CONFIG.train, validation_fraction=fraction)
        config = replace(distilled.CONFIG, train=learning)
        experiment = Experiment(config, runs=tmp_path / "runs")
        with pytest.raises(ValueError, match=message):
            run(distilled.PRESET, experiment, CORPUS)
    assert not (tmp_path / "runs").exists()
