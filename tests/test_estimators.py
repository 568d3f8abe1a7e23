"""The estimator by scikit-learn's conventions, on texts."""

import copy
import io
import pickle
import pickletools
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pandas
import pytest
import small
from joblib.externals.loky import get_reusable_executor
from rows import TINY
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from lstm_jax import estimators
from lstm_jax.estimators import LSTMClassifier

CORPUS = small.corpus(60)
TEXTS, NUMBERS = CORPUS.train.texts, CORPUS.train.labels
FRAME = pandas.DataFrame({"text": TEXTS, "label": np.array(["no", "yes"])[NUMBERS]})


def tiny(**parameters: Any) -> LSTMClassifier:
    return LSTMClassifier(**{"random_state": 0, "settings": TINY, **parameters})


@pytest.fixture(scope="module")
def fitted():
    return tiny().fit(FRAME["text"], FRAME["label"])


def test_columns_of_pandas_are_learnt(fitted):
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.score(FRAME["text"], FRAME["label"]) > 0.9
    assert set(fitted.predict(FRAME["text"])) == {"no", "yes"}
    assert fitted.predict_proba(TEXTS).shape == (60, 2)
    assert not hasattr(fitted, "n_features_in_")  # texts have none


def test_the_decision_is_the_logit_of_the_probability(fitted):
    decision, probabilities = fitted.decision_function(TEXTS), fitted.predict_proba(TEXTS)
    assert decision.shape == (60,)
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), probabilities[:, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (NUMBERS == 1, np.array([False, True])),
        (pandas.Series(["b", "a"] * 30, dtype="category"), np.array(["a", "b"], object)),
        (np.array([10, 9, -1] * 20, np.int8), np.array([-1, 9, 10], np.int8)),
    ],
    ids=["bool", "category", "int8"],
)
def test_classes_are_the_labels_as_they_were_given(labels, classes):
    estimator = tiny().fit(TEXTS, labels)
    np.testing.assert_array_equal(estimator.classes_, classes)
    assert estimator.classes_.dtype == estimator.predict(TEXTS).dtype == classes.dtype
    assert estimator.run_.class_names == tuple(map(str, classes.tolist()))
    shape = (60,) if len(classes) == 2 else (60, len(classes))
    assert estimator.decision_function(TEXTS).shape == shape


def test_parameters_are_copied_set_and_shown():
    estimator = tiny(epochs=3)
    assert is_classifier(estimator)
    copied: Any = clone(estimator)
    assert copied is not estimator
    assert copied.get_params() == estimator.get_params()
    assert estimator.set_params(epochs=7).get_params()["epochs"] == 7
    assert "epochs=7" in repr(estimator)
    assert set(estimators._SETTINGS) < set(LSTMClassifier().get_params())
    tags = estimator.__sklearn_tags__().input_tags
    assert (tags.string, tags.one_d_array, tags.two_d_array) == (True, True, False)


def test_every_parameter_is_the_setting_of_its_name(monkeypatch):
    given: dict[str, Any] = {
        "tokenizer": "characters",
        "vocabulary_size": 50,
        "ngrams": [20, 30],
        "max_length": 17,
        "embedding_size": 5,
        "hidden_size": 6,
        "linear": True,
        "learning_rate": 0.5,
        "epochs": 2,
        "batch_size": 3,
        "validation_fraction": 0.25,
    }
    assert set(given) == set(estimators._SETTINGS)
    seen: dict[str, Any] = {}

    def keep(corpus, path, **options):
        seen.update(options)
        raise StopIteration

    monkeypatch.setattr(estimators, "fit_corpus", keep)
    estimator = LSTMClassifier(**given, random_state=5, settings={"train.patience": 1})
    with pytest.raises(StopIteration):
        estimator.fit(TEXTS, NUMBERS)
    expected = {estimators._SETTINGS[name]: value for name, value in given.items()}
    assert seen["settings"] == {**expected, "train.patience": 1}
    assert (seen["seed"], seen["quiet"]) == (5, True)


def test_weights_of_zero_leave_texts_out_and_only_ratios_matter():
    weights = np.where(np.arange(60) < 50, 1.0 + NUMBERS, 0)
    with_zeros = tiny().fit(TEXTS, NUMBERS, sample_weight=weights)
    without = tiny().fit(TEXTS[:50], NUMBERS[:50], sample_weight=pandas.Series(4 * weights[:50]))
    by_class = tiny(class_weight={0: 1, 1: 2}).fit(TEXTS[:50], NUMBERS[:50])
    expected = without.predict_proba(TEXTS)
    np.testing.assert_array_equal(with_zeros.predict_proba(TEXTS), expected)
    np.testing.assert_array_equal(by_class.predict_proba(TEXTS), expected)


@pytest.mark.parametrize("linear", [False, True])
def test_weights_decide_where_labels_contradict_each_other(linear):
    labels = np.arange(40) % 2
    settings = {**TINY, "model.linear": linear}
    for heavy in (0, 1):
        estimator = tiny(settings=settings, class_weight={heavy: 9})
        estimator.fit(["the same film"] * 40, labels)
        assert estimator.predict_proba(["the same film"])[0, heavy] > 0.8


def test_balanced_counts_each_class_alike(monkeypatch):
    seen = []

    def keep(corpus, path, **options):
        seen.append(corpus.train.weights)
        raise StopIteration

    monkeypatch.setattr(estimators, "fit_corpus", keep)
    with pytest.raises(StopIteration):
        tiny(class_weight="balanced").fit(list("abcd"), ["x", "y", "y", "y"])
    np.testing.assert_allclose(seen[0], [2, 2 / 3, 2 / 3, 2 / 3])


def test_a_pickle_has_the_files_of_the_run_and_no_array_of_it(fitted):
    content = pickle.dumps(fitted)
    loaded = {
        argument
        for code, argument, _ in pickletools.genops(content)
        if code.name in ("SHORT_BINUNICODE", "GLOBAL")
        and str(argument).startswith(("jax", "flax", "lstm"))
    }
    assert loaded == {"lstm_jax.estimators"}
    packed = fitted.__getstate__()["run_"]
    assert "weights/" in zipfile.ZipFile(io.BytesIO(packed)).namelist()[-1]
    for again in (pickle.loads(content), copy.deepcopy(fitted)):
        assert again.get_params() == fitted.get_params()
        assert again.run_.path != fitted.run_.path
        np.testing.assert_array_equal(again.predict(TEXTS), fitted.predict(TEXTS))
        np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_an_estimator_that_is_not_fitted_is_copied_and_does_not_predict():
    estimator = pickle.loads(pickle.dumps(tiny()))
    assert estimator.get_params() == tiny().get_params()
    for predict in (estimator.predict, estimator.predict_proba, estimator.decision_function):
        with pytest.raises(NotFittedError):
            predict(TEXTS)


@pytest.mark.parametrize(
    ("parameters", "arguments", "message"),
    [
        ({}, {"X": FRAME[["text"]]}, "X must have one dimension, got 2"),
        ({}, {"X": "a text"}, "X must be a list, an array or a column, got a single string"),
        ({}, {"X": [*TEXTS[:59], None]}, r"X\[59\] must be a string, got NoneType"),
        ({}, {"X": TEXTS[:3]}, "y must be as many as X, 3, got 60"),
        ({}, {"y": ["a"] * 60}, "y must be of at least two classes, got one class, 'a'"),
        ({}, {"y": np.linspace(0, 1, 60)}, "Unknown label type: continuous"),
        ({}, {"y": None}, "requires y to be passed"),
        ({}, {"sample_weight": [1, 2]}, r"sample_weight must have shape \(60,\), got \(2,\)"),
        ({}, {"sample_weight": -np.ones(60)}, "sample_weight must be finite and at least 0"),
        ({}, {"sample_weight": np.zeros(60)}, "sample_weight must be above 0 for some texts"),
        ({}, {"sample_weight": NUMBERS}, "y must be of at least two classes, got one class, 1"),
        ({"epochs": 0, "settings": None}, {}, "train.epochs must be at least 1, got 0"),
        ({"max_length": 5}, {}, "settings must be without 'text.max_length' where max_length is"),
        ({"random_state": -1}, {}, "seed must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(parameters, arguments, message):
    with pytest.raises(ValueError, match=message) as told:
        tiny(**parameters).fit(**{"X": TEXTS, "y": NUMBERS, **arguments})
    assert "\n" not in str(told.value)


def test_predicting_no_texts_gives_no_rows(fitted):
    assert fitted.predict([]).shape == (0,)
    assert fitted.predict_proba(FRAME["text"][:0]).shape == (0, 2)


def lowered(texts: Any) -> list[str]:
    return [text.lower() for text in texts]


def test_a_pipeline_is_validated_and_searched():
    longer = tiny(settings={**TINY, "train.epochs": 10})
    pipeline = make_pipeline(FunctionTransformer(lowered), longer)
    more = small.corpus(120).train
    shouted = pandas.Series(more.texts).str.upper()
    labels = np.array(["no", "yes"])[more.labels]
    assert (cross_val_score(pipeline, shouted, labels, cv=2) > 0.8).all()
    grid = {"lstmclassifier__hidden_size": [4], "lstmclassifier__epochs": [1, 10]}
    settings = {
        name: TINY[name] for name in TINY if name not in ("model.hidden_size", "train.epochs")
    }
    pipeline.set_params(lstmclassifier__settings=settings)
    failing: Any = "raise"  # scikit-learn's types know numbers alone
    search = GridSearchCV(pipeline, grid, cv=2, error_score=failing).fit(shouted, labels)
    assert search.best_params_ == {"lstmclassifier__hidden_size": 4, "lstmclassifier__epochs": 10}
    assert search.predict(["VERDICT0", "VERDICT1"]).tolist() == ["no", "yes"]


def test_two_processes_give_back_what_one_would_have_fitted():
    def fitted(processes: int) -> list[LSTMClassifier]:
        options: Any = {"cv": 2, "n_jobs": processes, "return_estimator": True}
        return cross_validate(tiny(), TEXTS, NUMBERS, **options)["estimator"]

    in_two = fitted(2)
    get_reusable_executor().shutdown(wait=True)
    for theirs, ours in zip(in_two, fitted(1), strict=True):
        expected = ours.predict_proba(TEXTS)
        np.testing.assert_allclose(theirs.predict_proba(TEXTS), expected, atol=1e-5)


FORKED = """
import os, lstm_jax
from lstm_jax.estimators import LSTMClassifier
lstm_jax.implementations()
lstm_jax.machine.refuse_after_fork()
child = os.fork()
if child == 0:
    try:
        LSTMClassifier().fit(["a", "b"] * 4, [0, 1] * 4)
    except RuntimeError as error:
        os.write(1, str(error).encode())
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_process_that_is_forked_is_refused():
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.startswith("lstm_jax was used before this process was forked")


def test_without_scikit_learn_the_import_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None\nimport lstm_jax.estimators"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: lstm_jax.estimators needs scikit-learn 1.6: pip install 'lstm_jax[linear]'"
    )
