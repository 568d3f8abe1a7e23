"""The commands, as a user types them."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small

import lstm_jax
from experiments.imdb import article, bilstm
from experiments.imdb import command as imdb
from lstm_jax import cli
from lstm_jax.cli import parsing, reading
from lstm_jax.data import Corpus
from lstm_jax.train import evaluation

SIZES = [
    *("--text.max-length", "24", "--text.vocabulary-size", "50"),
    *("--model.embedding-size", "8", "--model.hidden-size", "8", "--model.embedding-scale", "0.5"),
    *("--optimizer.learning-rate", "0.03", "--train.epochs", "5", "--train.batch-size", "8"),
    *("--train.buckets", "1", "--train.validation-fraction", "0.2"),
]
SETTINGS = [*small.PLAIN, *SIZES]


def write_csv(path: Path, examples, names) -> Path:
    lines = ["review,verdict"]
    lines += [f'"{text}",{names[label]}' for text, label in zip(*examples, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, corpus = tmp_path_factory.mktemp("files"), small.corpus()
    names = ("poor", "fine")
    parts = {"train": corpus.train, "test": corpus.test}
    for name, part in parts.items():
        write_csv(folder / f"{name}.csv", (part.texts, part.labels), names)
    return folder


@pytest.fixture(scope="module")
def trained(files):
    """A run trained by the command line on a CSV file, and what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        output = io.StringIO()
        patch.setattr(sys, "stdout", output)
        command(
            patch,
            *("train", files / "train.csv", files / "run", "--test", files / "test.csv"),
            *("--text-column", "review", "--label-column", "verdict", *SETTINGS),
        )
    return files / "run", output.getvalue()


def command(monkeypatch, *arguments, main=cli.main):
    monkeypatch.setattr(sys, "argv", ["lstm_jax", *map(str, arguments)])
    main()


def test_training_on_ones_own_csv_reports_the_test_file(trained):
    run, printed = trained
    result = json.loads((run / "result.json").read_text())
    assert result["test"]["accuracy"] >= 0.9
    assert f"{result['test']['accuracy']:.2%}" in printed
    assert lstm_jax.load(run).class_names == ("fine", "poor")


def test_predict_prints_a_line_for_each_text(trained, monkeypatch, capsys):
    run, _ = trained
    command(monkeypatch, "predict", run, "verdict0 film", "a verdict1")
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["poor", "fine"]
    assert [line[2] for line in lines] == ["verdict0 film", "a verdict1"]
    assert all(0.5 <= float(line[1]) <= 1 for line in lines)


def test_predict_reads_files_and_standard_input_alike(trained, tmp_path, monkeypatch, capsys):
    run, _ = trained
    texts = ["verdict0", "", "the verdict1 über alles"]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    command(monkeypatch, "predict", run, "--json", *texts)
    from_arguments = capsys.readouterr().out
    command(monkeypatch, "predict", run, "--json", "--file", tmp_path / "texts.txt")
    from_file = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", small.standard_input("\n".join(texts).encode()))
    command(monkeypatch, "predict", run, "--json", "--batch-size", 2)
    from_input = capsys.readouterr().out
    read = [
        [json.loads(line) for line in out.splitlines()]
        for out in (from_arguments, from_file, from_input)
    ]
    assert [line["text"] for line in read[0]] == texts
    for other in read[1:]:
        assert [line["text"] for line in other] == texts
        for mine, theirs in zip(read[0], other, strict=True):
            assert theirs["probabilities"] == pytest.approx(mine["probabilities"], abs=1e-6)


def test_predictions_stream(trained):
    run, _ = trained
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield "verdict0"

    stream = lstm_jax.load(run).stream(endless(), batch_size=4)
    assert next(stream).label == "poor"
    assert len(taken) == 4


def test_loaded_probabilities_equal_those_at_the_end_of_training(tmp_path, monkeypatch):
    seen = []
    predict = evaluation.predict_logits

    def keeping(*arguments):
        seen.append(predict(*arguments))
        return seen[-1]

    monkeypatch.setattr(evaluation, "predict_logits", keeping)
    corpus = small.corpus()
    small.train(small.CONFIG, corpus, tmp_path / "run")
    assert corpus.test is not None
    run = lstm_jax.load(tmp_path / "run")
    found = run.temperature * run.logits(corpus.test.texts)
    np.testing.assert_allclose(found, seen[-1], atol=1e-6)


def test_evaluate_measures_a_file(trained, files, monkeypatch, capsys):
    run, _ = trained
    columns = ("--text-column", "review", "--label-column", "verdict")
    command(monkeypatch, "evaluate", run, files / "test.csv", *columns)
    result = json.loads((run / "result.json").read_text())
    assert f"{result['test']['accuracy']:.2%}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "nowhere", "text"), "nowhere has none"),
        (("train", "none.csv", "run"), "lstm-jax: none.csv: no such file\n"),
        (
            ("train", "{files}/train.csv", "{files}/x", "--text-column", "text"),
            "one column 'text', got 0; the columns are 'review', 'verdict'; give --text-column",
        ),
        (
            ("evaluate", "{files}/run", "{files}/train.csv", "--label-column", "label"),
            "one column 'label', got 0; the columns are 'review', 'verdict'; give --label-column",
        ),
        (("predict", "{files}/run", "text", "--file", "x"), "cannot be given together"),
        (("predict", "{files}/run", "--file", "{files}/none.txt"), "none.txt: no such file\n"),
        (("predict", "{files}/run", "x", "--batch-size", "0"), "--batch-size must be at least 1"),
        (("predict", "{files}/run", "--batch-size", "-1"), "--batch-size must be at least 1"),
    ],
    ids=str,
)
def test_mistakes_get_one_line_and_status_2(
    arguments, message, trained, files, monkeypatch, capsys
):
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, *(argument.format(files=files) for argument in arguments))
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("lstm-jax: ")
    assert error.count("\n") == 1
    assert message in error


def test_a_setting_out_of_range_is_refused(files, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(
            monkeypatch,
            *("train", files / "train.csv", files / "y", "--model.output-dropout", "1.5"),
        )
    assert "1.5" in capsys.readouterr().err
    assert not (files / "y").exists()


# The experiment.


@pytest.fixture
def small_builtin(monkeypatch):
    corpus = small.corpus()
    builtin = Corpus("builtin", corpus.train, corpus.test, corpus.class_names)
    found = builtin, "NOT THE REAL DATA"
    monkeypatch.setattr(reading, "imdb_or_builtin", lambda unlabelled: found)


def test_the_experiment_says_loudly_that_its_data_is_not_real(
    small_builtin, tmp_path, monkeypatch, capsys
):
    command(
        monkeypatch,
        *(
            "--runs",
            tmp_path,
            "--seeds",
            0,
            1,
            "--record",
            tmp_path / "new" / "record.json",
            *SIZES,
        ),
        main=imdb.main,
    )
    printed = capsys.readouterr().out
    assert "NOT THE REAL DATA" in printed
    assert "Not IMDB" in printed
    assert "85.00%" not in printed, "the article's figure is for real reviews"
    record = json.loads((tmp_path / "new" / "record.json").read_text())
    assert (record["preset"], record["data"], record["seeds"]) == ("bilstm", "builtin", [0, 1])
    assert len(record["test_accuracy"]) == len(record["minutes"]) == 2
    assert len(record["test_accuracy_deduplicated"]) == 2
    counts = record["test_examples_deduplicated"]
    test = small.corpus().test
    assert test is not None
    assert all(0 < count <= len(test) for count in counts)
    assert min(record["memory_mib"]) > 100
    assert {"command", "machine", "versions", "time", "commit"} <= set(record)


def test_presets_and_every_field_can_be_set(small_builtin, tmp_path, monkeypatch, capsys):
    command(
        monkeypatch,
        *("article", "--runs", tmp_path, *SIZES, "--text.pad", "back", "--seed", 3),
        main=imdb.main,
    )
    run = lstm_jax.load(tmp_path / "builtin-article-seed3")
    assert run.config.text.tokenizer == "keras"
    assert (run.config.text.pad, run.config.seed, run.config.model.hidden_size) == ("back", 3, 8)


def test_an_unknown_preset_is_refused_by_name(monkeypatch):
    with pytest.raises(ValueError, match=r"preset must be one of .*bilstm.*, got .bilsm"):
        command(monkeypatch, "bilsm", main=imdb.main)


def test_the_article_preset_is_the_articles():
    config = article.CONFIG
    assert (config.text.vocabulary_size, config.text.max_length) == (6000, 500)
    assert (config.text.pad, config.text.truncate) == ("front", "front")
    assert (config.model.embedding_size, config.model.hidden_size) == (32, 100)
    assert (config.model.direction, config.model.pooling) == ("forward", "last")
    assert (config.train.epochs, config.train.validation_fraction) == (3, 0.0)


def test_help_explains_every_field(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, "bilstm", "--help", main=imdb.main)
    printed = capsys.readouterr().out
    for part in ("text", "model", "optimizer", "train"):
        for field in getattr(bilstm.CONFIG, part).__dataclass_fields__:
            assert f"--{part}.{field.replace('_', '-')}" in printed


@pytest.mark.parametrize("objective", ["two_view", "next_word"])
def test_a_classifier_starts_from_texts_without_labels(tmp_path, monkeypatch, capsys, objective):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(small.corpus(train=40).train.texts))
    table = tmp_path / "train.csv"
    examples = small.corpus(train=40).train
    rows = [f"{text},{label}" for text, label in zip(examples.texts, examples.labels, strict=True)]
    table.write_text("\n".join(["text,label", *rows]))
    sizes = ["--model.embedding-size", "8", "--model.hidden-size", "8", "--train.epochs", "1"]
    how = ["--objective", objective, *sizes]
    if objective == "next_word":
        how += ["--samples", "20"]
    command(monkeypatch, "pretrain", str(texts), str(tmp_path / "model"), *how)
    said = capsys.readouterr().out
    assert ("perplexity on held-out texts" in said) == (objective == "next_word")
    assert "lstm-jax train DATA RUN --init" in said
    start = ["--init", str(tmp_path / "model")]
    command(monkeypatch, "train", str(table), str(tmp_path / "run"), *start, *sizes)
    assert lstm_jax.load(tmp_path / "run").class_names == ("0", "1")


def test_train_pretrains_first_if_it_is_told_to(tmp_path, monkeypatch, capsys):
    examples = small.corpus(train=40).train
    table, texts = tmp_path / "train.csv", tmp_path / "texts.txt"
    rows = [f"{text},{label}" for text, label in zip(examples.texts, examples.labels, strict=True)]
    table.write_text("\n".join(["text,label", *rows]))
    texts.write_text("\n".join(small.corpus(train=20, seed=3).train.texts))
    sizes = ["--model.embedding-size", "8", "--model.hidden-size", "8", "--train.epochs", "1"]
    typed = ["train", str(table), str(tmp_path / "run"), *sizes, *small.PLAIN, "--pretrain"]
    command(monkeypatch, *typed, "--unlabelled", str(texts))
    pretrained = tmp_path / "run.pretrained"
    assert f"Pretraining for 20 epochs in {pretrained}" in capsys.readouterr().out
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert "init" in data["inputs"]
    assert json.loads((pretrained / "data.json").read_text())["examples"]["train"] == 60
    before = (pretrained / "result.json").read_bytes()
    command(monkeypatch, *typed, "--unlabelled", str(texts), "--resume")
    assert "nothing to do" in capsys.readouterr().out
    assert (pretrained / "result.json").read_bytes() == before
    with pytest.raises(SystemExit):
        command(monkeypatch, *typed, "--init", str(pretrained))
    assert "--pretrain goes only without --init" in capsys.readouterr().err


def test_the_lines_of_a_docstring_are_no_lines_of_the_help():
    text = "One that is\n    `longer` than a line.\n\n    Another\n    -- two lines."
    assert parsing._joined(text) == "One that is `longer` than a line.\n\nAnother -- two lines."
    code = "One.\n\n    python -m this\n\nAnd more\nof it."
    assert parsing._joined(code) == "One.\n\n    python -m this\n\nAnd more of it."


# What a reader or a writer at the other end of a pipe does.


def program(*arguments, **options) -> subprocess.CompletedProcess[bytes]:
    """Runs `python -m lstm_jax` in a process of its own."""
    words = [sys.executable, "-m", "lstm_jax", *map(str, arguments)]
    return subprocess.run(words, stderr=subprocess.PIPE, check=False, timeout=600, **options)


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "{run}", "verdict0"]], ids=str)
def test_output_that_nobody_reads_ends_the_program_quietly(trained, arguments):
    run, _ = trained
    pipe = closed_pipe()
    done = program(*(word.format(run=run) for word in arguments), stdout=pipe)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("source", ["standard input", "file"])
def test_a_line_that_is_not_utf8_keeps_its_place_or_stops_behind_the_lines_before_it(
    trained, tmp_path, source
):
    run, _ = trained
    content = "verdict0 é\nverdict1 é\n".encode() + b"caf\xe9\nverdict0\n"
    (tmp_path / "texts.txt").write_bytes(content)
    options = ["--file", tmp_path / "texts.txt"] if source == "file" else []
    given = {} if source == "file" else {"input": content}
    source = str(tmp_path / "texts.txt") if source == "file" else source
    done = program("predict", run, *options, stdout=subprocess.PIPE, **given)
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [line[0] for line in lines] == ["poor", "fine", "", "poor"]
    assert lines[2][1:] == ["", r"caf\udce9"]
    said = f"{source}: 1 of 4 rows cannot be used: line 3: byte 0xe9 is not UTF-8\n"
    assert (done.returncode, done.stderr.decode()) == (0, said)
    options += ["--on-error", "stop"]
    done = program("predict", run, *options, stdout=subprocess.PIPE, **given)
    lines = done.stdout.decode().splitlines()
    assert [line.split("\t")[2] for line in lines] == ["verdict0 é", "verdict1 é"]
    said = f"lstm-jax: {source}, line 3: byte 0xe9 is not UTF-8\n"
    assert (done.returncode, done.stderr.decode()) == (2, said)


def test_tabs_and_line_breaks_in_a_text_do_not_break_the_table(trained, monkeypatch, capsys):
    run, _ = trained
    command(monkeypatch, "predict", run, "a\tverdict1\nof\r\\n")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split("\t")[2] == r"a\tverdict1\nof\r\\n"
