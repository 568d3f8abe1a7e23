"""The experiments about explanations: small, on a corpus of a few words."""

import json
from dataclasses import replace

import numpy as np
import pytest
import small

from experiments import conservation, elimination, faithfulness, units


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with one finished run, called as those of IMDB."""
    folder = tmp_path_factory.mktemp("runs")
    text = replace(small.CONFIG.text, tokenizer="punctuation", ngrams=(20,))
    small.train(replace(small.CONFIG, text=text), small.corpus(), folder / "imdb-bilstm-seed0")
    return folder


@pytest.fixture(autouse=True)
def _instead_of_imdb(monkeypatch):
    for module in (conservation, elimination, faithfulness, units):
        monkeypatch.setattr(module, "load_corpus", {"imdb": small.corpus()}.__getitem__)


def test_faithfulness_measures_every_method_and_chance(runs, tmp_path):
    record = tmp_path / "record.json"
    methods = ("lrp", "occlusion")
    run = runs / "imdb-bilstm-seed0"
    faithfulness.run(faithfulness.Study(runs=(run,), texts=12, methods=methods, record=record))
    found = json.loads(record.read_text())["runs"]["imdb-bilstm-seed0"]
    assert set(found["methods"]) == {*methods, "random"}
    lrp, chance = found["methods"]["lrp"], found["methods"]["random"]
    assert lrp["comprehensiveness"] > chance["comprehensiveness"]
    assert lrp["largest_error"] < 1e-4
    assert found["rank_correlation"]["lrp"]["lrp"] == pytest.approx(1)

    def again(**settings):
        faithfulness.run(faithfulness.Study(runs=(run,), record=record, **settings))

    again(texts=12)  # is in the record, so that nothing is measured, occlusion again neither
    assert json.loads(record.read_text())["runs"]["imdb-bilstm-seed0"] == found
    with pytest.raises(ValueError, match=r"texts must be 12, as in .*record.json, got 13"):
        again(texts=13)


def test_elimination_deletes_words_and_looks_at_the_memory(runs, tmp_path):
    record = tmp_path / "record.json"
    study = elimination.Study(runs=runs, presets=("bilstm",), seeds=(0,), texts=12, record=record)
    elimination.run(study)
    content = json.loads(record.read_text())
    found = content["runs"]["bilstm"]["0"]
    for curve in found["curves"].values():
        assert len(curve["accuracy"]) == len(content["shares"])
        assert curve["same_prediction"][0] == 1
    for of_direction in found["memory"].values():
        assert 0 < of_direction["survives"] < 1
        assert min(of_direction["half_lives"].values()) > 0
        assert of_direction["by_distance"]["0"] == pytest.approx(1)
        assert sum(band["words"] for band in of_direction["by_band"].values()) <= 1


def test_the_order_of_deletion_begins_with_what_counts_least():
    ids, scores = np.array([1, 5, 6, 7]), np.array([0.3, 0.1, 0.2])
    assert elimination.order(ids, scores).tolist() == [2, 3, 1]


def test_conservation_measures_every_combination(tmp_path):
    record = tmp_path / "record.json"
    study = conservation.Study(texts=3, longest=12, size=4, poolings=("max_mean",), record=record)
    conservation.run(study)
    errors = json.loads(record.read_text())["errors"]
    assert len(errors) == 2 * 3  # types of numbers, directions
    for each in errors:
        most = 1e-5 if each["dtype"] == "float32" else 1e-12
        for method in ("ledger", "lrp", "decomposition"):
            assert each["methods"][method]["largest"] < most


def test_one_unit_is_chosen_and_measured(runs, tmp_path):
    record = tmp_path / "record.json"
    study = units.Study(runs=(runs / "imdb-bilstm-seed0",), train=60, described=5, record=record)
    units.run(study)
    (found,) = json.loads(record.read_text())["runs"].values()
    assert found["features"] == 4 * small.CONFIG.model.hidden_size
    assert 0.5 <= found["train_accuracy"] <= 1
    assert 0 <= found["test_accuracy"] <= 1
    assert found["direction"] in ("forward", "backward")
