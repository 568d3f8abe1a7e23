"""What is exported scores texts as the run does, with nothing of ours installed."""

import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import small

import lstm_jax
from lstm_jax import cli
from lstm_jax.data import load_corpus
from lstm_jax.interop import export
from lstm_jax.interop.stablehlo import classifier_to_stablehlo
from lstm_jax.predictor import Predictor
from lstm_jax.text import NGrams, WordTokenizer

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

FORMATS = ("onnx", "stablehlo")
WORDS = small.corpus().train.texts
ODD = [
    *("", " \t\n ", "film", "good bad " * 40, "zzz qqq", "<pad> <start> <unk> <br>"),
    "good<br /><br/>< BR >BAD film!!! ... \u2026 (8/10, 3.5)",
    "don't can\u2019t it's film's 'good' plot-film",
    "caf\u00e9 cafe\u0301 \u0130stanbul \u03a3\u0391\u03a3 \ufb01lm stra\u00dfe",
    "\u6620\u753b \U0001f3ac \u0645\u0631\u062d\u0628\u0627 \u200b\u00a0 film\u2028film",
    "film\x0bgood\x00bad",
    "the film is a very slow film, a very good plot",
]


@cache
def tokenizer(preset: str, size: int = 22) -> WordTokenizer:
    return WordTokenizer.train([*WORDS, *ODD], preset=preset, vocabulary_size=size)


def random_run(classes=2, ngrams=(), model=None, size=22, **text) -> Predictor:
    """A run whose weights, biases too, are drawn and not trained."""
    text = {"tokenizer": "punctuation", "max_length": 8, **text}
    config = replace(
        small.CONFIG,
        text=replace(small.CONFIG.text, ngrams=ngrams, **text),
        model=replace(small.CONFIG.model, **{"hidden_size": 5, **(model or {})}),
    )
    words = tokenizer(config.text.tokenizer, size)
    found = None
    if ngrams:
        sequences = words.encode_batch([*WORDS, *ODD])
        found = NGrams.find(sequences, words.vocabulary_size, ngrams)
        assert all(len(keys) > 5 for keys in found.keys)
    names = ("no", "yes", *(f"class {n}" for n in range(2, classes)))
    empty = Predictor(Path(), config, names, words, {}, 0.4, found)
    shapes = jax.eval_shape(empty._init)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)
    run = Predictor(Path(), config, names, words, params, 0.4, found)
    # Probabilities near 0 and 1 would say little.
    params["head"]["bias"] -= run.temperature * run.logits(ODD).mean(axis=0)
    return Predictor(Path(), config, names, words, params, run.temperature, found)


def score(run: Predictor, folder: Path, format: export.Format, texts=ODD):
    """What the exported script says of texts, in this process."""
    folder.mkdir(exist_ok=True)
    export.write_folder(run, folder, format)
    return runpy.run_path(str(folder / "score.py"))["score"](list(texts))


def check(run: Predictor, folder: Path, format: export.Format, texts=ODD):
    expected = run.predict_proba(texts)
    assert expected.std(axis=0).max() > 0.005, "a test on which all texts are alike"
    np.testing.assert_allclose(score(run, folder, format, texts), expected, atol=1e-5)


def check_lengths(run: Predictor, model):
    """A model on tokens [B, T] of all lengths from 0 to T, whatever stands in the padding."""
    rng = np.random.default_rng(0)
    logits = jax.jit(lambda *batch: run.model.apply({"params": run.params}, *batch))
    for time in (1, 9):
        lengths = np.arange(time + 1, dtype=np.int32)
        shape = (len(lengths), time)
        tokens = rng.integers(0, run.tokenizer.vocabulary_size, shape).astype(np.int32)
        z = np.asarray(logits(tokens, lengths), np.float64) / run.temperature
        if run.model.outputs == 1:
            z = np.concatenate([-z / 2, z / 2], axis=-1)  # softmax of these two is the sigmoid of z
        expected = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(model(tokens, lengths), expected, atol=1e-6)


def load_model(folder: Path, format: export.Format):
    """The model of a folder as a function of tokens and lengths."""
    if format == "onnx":
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        return lambda t, n: session.run(None, {"tokens": t, "lengths": n})[0]
    blob = (folder / "model.stablehlo").read_bytes()
    return jax.jit(jax.export.deserialize(bytearray(blob)).call)


TEXT_SETTINGS: list[dict[str, Any]] = [
    {"tokenizer": preset, "truncate": truncate, "pad": pad}
    for preset in ("keras", "punctuation")
    for truncate in ("front", "back", "middle")
    for pad in ("front", "back")
]
POOLINGS = ("last", "max", "mean", "max_mean", "attention")
DIRECTIONS = ("forward", "backward", "bidirectional")
ENCODERS = [  # every pair of a pooling, a direction and a number of layers
    (pooling, direction, 1 + (m + n) % 2)
    for m, pooling in enumerate(POOLINGS)
    for n, direction in enumerate(DIRECTIONS)
]


@pytest.mark.parametrize(("pooling", "direction", "layers"), ENCODERS)
def test_onnx_scores_as_the_run_does(pooling, direction, layers, tmp_path):
    model = {"pooling": pooling, "direction": direction, "layers": layers}
    some = TEXT_SETTINGS[POOLINGS.index(pooling) :: len(POOLINGS)]  # a fifth each, both pads in it
    run: Any = None
    for text in some:  # with one compiled program: its sizes are the same
        run = random_run(model=model, **text)
        check(run, tmp_path, "onnx")
    check_lengths(run, load_model(tmp_path, "onnx"))


@pytest.mark.parametrize("merge", ["sum", "mean", "mul"])
@pytest.mark.parametrize("pooling", ["last", "max_mean"])
def test_onnx_merges_directions(merge, pooling, tmp_path):
    run = random_run(model={"merge": merge, "pooling": pooling, "layers": 2})
    check(run, tmp_path, "onnx")
    check_lengths(run, load_model(tmp_path, "onnx"))


@pytest.mark.parametrize("cell", ["peephole", "coupled", "no_bias"])
def test_onnx_has_these_cells(cell, tmp_path):
    run = random_run(model={"cell": cell, "layers": 2})
    check(run, tmp_path, "onnx")
    check_lengths(run, load_model(tmp_path, "onnx"))


def test_onnx_refuses_what_it_cannot_say(tmp_path):
    message = (
        r"cell must be one of lstm, peephole, coupled, no_bias in an ONNX model, got "
        r"'layer_norm', Variant\(normalise=True\); a StableHLO program may have any$"
    )
    with pytest.raises(ValueError, match=message):
        export.export_run(random_run(model={"cell": "layer_norm"}), tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ({"pooling": "last", "direction": "backward"}, TEXT_SETTINGS[2]),
        ({"pooling": "max", "direction": "forward", "chunk_size": 3}, TEXT_SETTINGS[3]),
        ({"pooling": "mean", "merge": "mul", "implementation": "scan"}, TEXT_SETTINGS[5]),
        ({"pooling": "attention", "cell": "layer_norm", "layers": 2}, TEXT_SETTINGS[6]),
        ({"pooling": "max_mean", "cell": "coupled"}, TEXT_SETTINGS[11]),
    ],
    ids=lambda settings: settings.get("pooling", settings.get("pad")),
)
def test_stablehlo_scores_as_the_run_does(model, text, tmp_path):
    run = random_run(model=model, **text)
    check(run, tmp_path, "stablehlo")
    check_lengths(run, load_model(tmp_path, "stablehlo"))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("pad", ["front", "back"])
def test_ngrams_and_many_classes(format, pad, tmp_path):
    run = random_run(classes=5, ngrams=(200, 60, 20), size=15, pad=pad)
    check(run, tmp_path, format)
    check_lengths(run, load_model(tmp_path, format))
    without = Predictor(
        Path(), run.config, run.class_names, run.tokenizer, run.params, run.temperature, None
    )
    assert np.abs(without.predict_proba(ODD) - run.predict_proba(ODD)).max() > 0.01, (
        "n-grams do nothing"
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("cell", ["lstm", "peephole"])
def test_a_run_stays_in_float32_where_jax_has_64_bits(format, cell, tmp_path):
    expected = random_run(model={"cell": cell}).predict_proba(ODD)
    with jax.enable_x64(True):
        run = random_run(model={"cell": cell})
        shapes = jax.tree.leaves(jax.eval_shape(run._init))
        assert {shape.dtype for shape in shapes} == {np.dtype(np.float32)}
        found = score(run, tmp_path, format)
        check_lengths(run, load_model(tmp_path, format))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_stablehlo_calls_nothing_of_ours_on_any_platform():
    program = jax.export.deserialize(bytearray(classifier_to_stablehlo(random_run())))
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert set(re.findall(r"custom_call @(\w+)", program.mlir_module())) <= {"shape_assertion"}


def test_onnx_says_what_its_classes_are_and_how_texts_are_cut(tmp_path):
    run = random_run(classes=3, truncate="middle")
    score(run, tmp_path, "onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    described = session.get_modelmeta().custom_metadata_map
    assert json.loads(described.pop("class_names")) == list(run.class_names)
    assert described == {"max_length": "8", "truncate": "middle", "pad": "back"}


def test_a_run_in_bfloat16_is_exported_in_float32(tmp_path):
    run = random_run()
    texts = export.typical_texts(run)
    expected = run.predict_proba(texts)
    model = replace(run.config.model, precision="bfloat16")
    run.config = replace(run.config, model=model)
    run.model = run.model.clone(config=model)
    proof = export.export_run(run, tmp_path, "onnx")
    np.testing.assert_allclose(proof.script, expected, atol=1e-5)


# The command.


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A trained run with n-grams."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    config = replace(
        small.CONFIG,
        text=replace(small.CONFIG.text, ngrams=(40, 20)),
        train=replace(small.CONFIG.train, epochs=2, buckets=1),
    )
    small.train(config, small.corpus(), folder, command="test")
    return folder


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["lstm_jax", *map(str, arguments)])
    cli.main()


@pytest.mark.parametrize("format", FORMATS)
def test_the_command_proves_what_it_exports(format, trained, tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "out"
    command(monkeypatch, "export", trained, out, "--format", format)
    printed = capsys.readouterr().out
    assert (
        float(re.findall(r"is ready: its probabilities differ .* by (\S+) at most", printed)[0])
        < 1e-5
    )
    rows = re.findall(r"class \d\D+(0\.\d{6})\D+(0\.\d{6})", printed)
    assert len(rows) == 6
    np.testing.assert_allclose(*np.array(rows, float).T, atol=2e-6)
    assert {path.name for path in out.iterdir()} == {
        *(f"model.{format}", "tokenizer.json", "score.py")
    }
    texts = small.corpus().train.texts[:5]
    expected = lstm_jax.load(trained).predict_proba(texts)
    np.testing.assert_allclose(export.run_script(out, texts), expected, atol=1e-5)


def test_a_folder_that_holds_something_is_left_alone(trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, "export", trained, tmp_path)
    assert stopped.value.code == 2
    assert "exists already; give the name of a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_that_differs_is_not_left_behind(trained, tmp_path, monkeypatch):
    model = export._model

    def warmer(run, format):
        run.temperature *= 1.01
        return model(run, format)

    def exported():
        run = lstm_jax.load(trained)
        expected = run.predict_proba(export.typical_texts(run))
        monkeypatch.setattr(Predictor, "predict_proba", lambda self, texts: expected)
        return export.export_run(run, tmp_path / "out", "onnx")

    monkeypatch.setattr(export, "_model", warmer)
    with pytest.raises(RuntimeError, match="must be at most"):
        exported()
    assert not (tmp_path / "out").exists()


def test_a_script_that_fails_is_not_left_behind(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "SCRIPT", "import nothing_of_that_name")
    with pytest.raises(RuntimeError, match="nothing_of_that_name"):
        export.export_run(lstm_jax.load(trained), tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named_with_what_installs_it(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "find_spec", lambda package: None)
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, "export", trained, tmp_path / "out")
    assert stopped.value.code == 2
    assert "needs the package onnx: pip install 'lstm_jax[interop]'" in capsys.readouterr().err


KILLED = """
import sys, time
from pathlib import Path
import test_export
def prove(run, folder):
    print("written", flush=True)
    time.sleep(600)
test_export.export.prove = prove
test_export.export.export_run(test_export.random_run(), Path(sys.argv[1]), "onnx")
"""


def test_a_kill_leaves_no_unproved_folder_and_the_next_export_clears_up(tmp_path):
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(out)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
    (left,) = tmp_path.iterdir()
    assert (left.name, len(list(left.iterdir()))) == (f".out.{process.pid}.partial", 3)
    run = random_run()
    export.export_run(run, out, "onnx")
    assert list(tmp_path.iterdir()) == [out]
    np.testing.assert_allclose(
        export.run_script(out, ["film"]), run.predict_proba(["film"]), atol=1e-5
    )


@pytest.mark.parametrize("name", ["out[1]", "a: b", "schön", "a\\b", "-out", "x" * 250])
def test_any_path_of_the_file_system_takes_an_export(name, tmp_path):
    run = random_run()
    export.export_run(run, tmp_path / name, "onnx")
    found = export.run_script(tmp_path / name, ["film"])
    np.testing.assert_allclose(found, run.predict_proba(["film"]), atol=1e-5)


@pytest.mark.real_data
def test_1000_real_reviews_are_scored_as_by_the_run(tmp_path):
    corpus = load_corpus("imdb")
    assert corpus.test is not None
    config = replace(
        small.CONFIG,
        text=replace(small.CONFIG.text, max_length=400, truncate="middle"),
        model=replace(small.CONFIG.model, embedding_size=32, hidden_size=32, layers=2),
    )
    some = corpus.train.texts[::10]
    words = WordTokenizer.train(some, preset="punctuation", vocabulary_size=8_000)
    ngrams = NGrams.find(words.encode_batch(some), words.vocabulary_size, (10_000, 5_000))
    run = Predictor(tmp_path, config, corpus.class_names, words, {}, 1.0, ngrams)
    shapes = jax.eval_shape(run._init)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda s: rng.normal(0, 0.3, s.shape).astype(np.float32), shapes)
    run = Predictor(tmp_path, config, corpus.class_names, words, params, 1.3, ngrams)
    check(run, tmp_path / "onnx", "onnx", corpus.test.texts[::25])
