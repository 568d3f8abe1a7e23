"""What a teacher says of texts without labels, learnt in the place of labels."""

import json
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
import small
from rich.console import Console

import lstm_jax
from experiments import imdb
from lstm_jax import cli, linear
from lstm_jax.classifier import TextClassifier
from lstm_jax.linear import fit_linear
from lstm_jax.teacher import teach
from lstm_jax.text import UNLABELLED, Batch
from lstm_jax.train import loop
from lstm_jax.train.metrics import blend_weights, compute_metrics, probabilities
from lstm_jax.train.objective import Classification
from lstm_jax.train.pretraining import pretrain

pytest.importorskip("sklearn", reason="the linear model is scikit-learn's")
QUIET = Console(quiet=True)
MORE = small.corpus(train=200, seed=5).train.texts
CORPUS = replace(small.corpus(train=60), unlabelled=list(MORE))
STUDENT = replace(small.CONFIG, train=replace(small.CONFIG.train, unlabelled=150, adversarial=0.1))
PART = STUDENT.validation_part


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "run"
    loop.train(small.CONFIG, CORPUS, path, command="", console=QUIET)
    return path


# The linear model -----------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_model_finds_the_word_that_decides(classes):
    corpus = small.corpus(train=90, test=60, classes=classes)
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


# The blend ------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 4])
def test_blend_weights_are_at_the_least_loss(rng, classes):
    labels = rng.integers(0, classes, 500)
    columns = 1 if classes == 2 else classes
    truth = labels[:, None] * 2.0 - 1 if classes == 2 else 2.0 * np.eye(classes)[labels]
    parts = [truth + rng.normal(0, scale, (500, columns)) for scale in (1.0, 2.0)]
    parts.append(rng.normal(size=(500, columns)))  # says nothing

    def loss(weights):
        blended = sum(w * part for w, part in zip(weights, parts, strict=True))
        return compute_metrics(blended, labels).loss

    weights = blend_weights(parts, labels)
    best = loss(weights)
    for place in range(3):
        for step in (-0.03, 0.03):
            moved = weights + step * np.eye(3)[place]
            assert moved[place] < 0 or loss(moved) >= best
    assert weights[0] > weights[1] > 0.1 > weights[2] >= 0
    assert best < min(loss(row) for row in np.eye(3))


# Teaching -------------------------------------------------------------------------------------


def test_what_is_taught_are_probabilities_and_mostly_right(teacher):
    run = lstm_jax.load(teacher)
    taught = teach([run], CORPUS, PART).taught
    assert taught is not None
    assert taught.shape == (200, 2)
    np.testing.assert_allclose(taught.sum(1), 1, atol=1e-6)
    assert (taught.argmax(1) == np.arange(200) % 2).mean() >= 0.9


def test_teachers_with_one_validation_part_teach_together(teacher, tmp_path):
    train = replace(small.CONFIG.train, validation_seed=small.CONFIG.seed)
    other = replace(small.CONFIG, seed=7, train=train)
    loop.train(other, CORPUS, tmp_path / "other", command="", console=QUIET)
    runs = [lstm_jax.load(path) for path in (teacher, tmp_path / "other")]
    both, first, again = (
        teach(chosen, CORPUS, PART).taught for chosen in (runs, runs[:1], runs[:1] * 2)
    )
    np.testing.assert_allclose(first, again, atol=1e-5)  # a mean of equals
    assert np.abs(np.log(both) - np.log(first)).max() > 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"part": replace(STUDENT, seed=1).validation_part},
            "same for teacher and student",
        ),
        ({"corpus": replace(CORPUS, unlabelled=[])}, "needs texts without labels"),
        (
            {"corpus": replace(CORPUS, class_names=("a", "b"))},
            "classes must be the data's",
        ),
    ],
)
def test_a_teacher_that_cannot_teach_says_why(teacher, change, message):
    arguments = {"runs": [lstm_jax.load(teacher)], "corpus": CORPUS, "part": PART}
    with pytest.raises(ValueError, match=message):
        teach(**(arguments | change))


def test_a_wrong_number_of_rows_is_refused():
    with pytest.raises(ValueError, match=r"taught must have shape \(200, 2\), .* got \(3, 2\)"):
        replace(CORPUS, taught=np.ones((3, 2), np.float32))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_loss_is_the_cross_entropy_with_what_is_taught(rng, classes):
    model = TextClassifier(small.replace_dropout(small.CONFIG.model), 20, classes)
    columns = model.outputs
    taught = probabilities(rng.normal(size=(4, columns)))[:, -columns:].astype(np.float32)
    labels = np.array([0, UNLABELLED, UNLABELLED, 1], np.int32)
    batch = Batch(
        rng.integers(1, 20, (4, 5)).astype(np.int32),
        np.full(4, 5, np.int32),
        labels,
        np.array([1, 1, 2, 1], np.float32),
        np.arange(4, dtype=np.int32),
        taught,
    )
    objective = Classification(model)
    params = objective.init(jax.random.key(0))
    (loss, totals), gradient = objective.gradient(params, batch, jax.random.key(1))
    logits = np.asarray(model.apply({"params": params}, batch.tokens, batch.lengths), np.float64)
    chances = probabilities(logits)
    targets = np.eye(classes)[labels]
    full = np.concatenate([1 - taught, taught], 1) if columns == 1 else taught
    targets[1:3] = full[1:3]
    each = -(targets * np.log(chances)).sum(1)
    np.testing.assert_allclose(loss, (batch.weights * each).sum() / 5, rtol=1e-5)
    assert float(totals.examples) == 2  # those with labels
    # With words that are moved by nothing, the second loss is the first.
    still = Classification(model, adversarial=1e-12)
    _, same = still.gradient(params, batch, jax.random.key(1))
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_each_text_has_its_own_row_in_the_batches(monkeypatch, tmp_path, classes):
    corpus = small.corpus(train=60, classes=classes)
    marks = np.arange(200, dtype=np.float32)  # no probabilities, but known again
    rows = np.stack([marks + 1000 * place for place in range(classes)], 1)
    seen = {}

    def fit(objective, optimizer, batches, *rest, **options):
        source = batches.source
        for batch in (source[n] for n in range(source.batches_per_epoch)):
            for place in np.flatnonzero(batch.labels == UNLABELLED):
                seen[int(batch.index[place])] = batch.taught[place], batch.tokens[place]
        batches.close()
        raise InterruptedError

    monkeypatch.setattr(loop, "fit", fit)
    corpus = replace(corpus, unlabelled=list(MORE))
    told = replace(corpus, taught=rows)
    with pytest.raises(InterruptedError):
        loop.train(
            STUDENT,
            corpus,
            tmp_path / "run",
            command="",
            teacher=lambda corpus, config: told,
            console=QUIET,
        )
    assert len(seen) == 150
    drawn = np.random.default_rng(STUDENT.seed).permutation(200)[:150]
    first = min(seen)
    for index, (taught, _) in seen.items():
        expected = rows[drawn[index - first]]
        np.testing.assert_array_equal(taught, expected[1:] if classes == 2 else expected)


def test_a_student_learns_from_a_teacher_by_the_command(teacher, tmp_path, monkeypatch):
    table, texts = tmp_path / "train.csv", tmp_path / "texts.txt"
    rows = [
        f"{text},class {label}"
        for text, label in zip(CORPUS.train.texts, CORPUS.train.labels, strict=True)
    ]
    table.write_text("\n".join(["text,label", *rows]))
    texts.write_text("\n".join(MORE))
    told = []
    monkeypatch.setattr(cli, "teach", lambda *arguments: told.append(teach(*arguments)) or told[-1])
    options = ["--unlabelled", str(texts), "--train.validation-fraction", "0.2"]
    options += ["--train.epochs", "1", "--model.hidden-size", "8"]
    start = ["lstm_jax", "train", str(table)]
    with_teacher = [*options, "--teacher", str(teacher)]
    monkeypatch.setattr("sys.argv", [*start, str(tmp_path / "no"), *with_teacher])
    with pytest.raises(SystemExit):
        cli.main()  # --train.unlabelled is 0
    assert not (tmp_path / "no").exists()
    with_teacher += ["--train.unlabelled", "100"]
    monkeypatch.setattr("sys.argv", [*start, str(tmp_path / "run"), *with_teacher])
    cli.main()
    assert len(told) == 1
    assert lstm_jax.load(tmp_path / "run").config.train.unlabelled == 100


def test_a_finished_student_asks_its_teacher_nothing(teacher, tmp_path):
    asked = []

    def judge(corpus, part):
        asked.append(part)
        return teach([lstm_jax.load(teacher)], corpus, part)

    run = partial(
        loop.train, STUDENT, CORPUS, tmp_path / "run", command="", teacher=judge, console=QUIET
    )
    result = run()
    assert result["test_accuracy"] >= 0.9
    assert run(resume=True) == result
    assert len(asked) == 1


def test_the_preset_trains_what_it_needs_before(tmp_path, monkeypatch):
    tiny = replace(small.CONFIG, train=replace(small.CONFIG.train, epochs=1))
    halves = imdb.Reading(replace(tiny, name="halves"), unlabelled=True)
    held_out = replace(tiny.train, validation_seed=0)
    teachers = tuple(
        replace(tiny, name="finetuned", seed=seed, train=held_out) for seed in range(2)
    )
    learning = replace(STUDENT.train, epochs=1, validation_seed=0)
    config = replace(tiny, name="pretrained", train=learning)
    asked, read, begun = [], [], {}
    monkeypatch.setattr(imdb, "teach", lambda *given: asked.append(given) or teach(*given))

    def reading(config, texts, *rest, **how):
        read.append(texts)
        return pretrain(config, texts, *rest, **how)

    def training(config, corpus, folder, *, init, **how):
        begun[folder.name] = init.name
        return loop.train(config, corpus, folder, init=init, **how)

    monkeypatch.setattr(imdb, "pretrain", reading)
    monkeypatch.setattr(imdb, "train", training)
    path = tmp_path / "record.json"
    experiment = imdb.Experiment(config, seeds=(3, 4), runs=tmp_path / "runs", record=path)
    imdb.run(experiment, CORPUS, halves, teachers)
    assert begun == {
        "small-finetuned-seed0": "small-halves-seed0",
        "small-finetuned-seed1": "small-halves-seed0",
        "small-pretrained-seed3": "small-finetuned-seed1",  # each goes on from one of its teachers
        "small-pretrained-seed4": "small-finetuned-seed0",
    }
    folders = {at.name: at for at in (tmp_path / "runs").iterdir()}
    assert folders.keys() == {"small-halves-seed0", *begun}
    minutes = {
        name: round(json.loads((at / "result.json").read_text())["minutes"], 2)
        for name, at in folders.items()
    }
    ((runs, *_),) = asked  # once for all students
    assert [run.config.seed for run in runs] == [0, 1]
    assert read == [[*CORPUS.train.texts, *CORPUS.unlabelled]]  # and no test example
    assert len({(at / "tokenizer.json").read_bytes() for at in folders.values()}) == 1
    record = json.loads(path.read_text())
    assert record["pretraining_minutes"] == [minutes["small-halves-seed0"]] * 2
    both = sum(minutes[f"small-finetuned-seed{n}"] for n in (0, 1))
    assert record["teacher_minutes"] == pytest.approx([both] * 2, abs=0.02)  # rounded
    assert record["minutes"] == [minutes[f"small-pretrained-seed{n}"] for n in (3, 4)]


@pytest.mark.parametrize("lacking", ["texts without labels", "scikit-learn"])
def test_the_preset_says_what_it_lacks_before_its_teachers_train(tmp_path, monkeypatch, lacking):
    corpus = CORPUS
    if lacking == "scikit-learn":
        monkeypatch.setattr(linear, "find_spec", lambda name: None)
    else:
        corpus = replace(CORPUS, unlabelled=[])
    experiment = imdb.Experiment(imdb.PRETRAINED, runs=tmp_path / "runs")
    with pytest.raises(ValueError, match=f"needs {lacking}"):
        imdb.run(experiment, corpus, imdb.READ_ALL, imdb.TEACHERS)
    assert not (tmp_path / "runs").exists()


def test_a_part_set_aside_that_teachers_do_not_is_refused_before_they_train(tmp_path):
    for fraction, message in (
        (0.2, "same for teacher and student"),
        (0.0, "must be above 0"),
    ):
        learning = replace(imdb.PRETRAINED.train, validation_fraction=fraction)
        config = replace(imdb.PRETRAINED, train=learning)
        experiment = imdb.Experiment(config, runs=tmp_path / "runs")
        with pytest.raises(ValueError, match=message):
            imdb.run(experiment, CORPUS, imdb.READ_ALL, imdb.TEACHERS)
    assert not (tmp_path / "runs").exists()
