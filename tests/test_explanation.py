"""`explain`, on the command line and from Python: every word where it stands, and no markup."""

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small

import lstm_jax
from lstm_jax import cli
from lstm_jax.cli.explain import shown_text
from lstm_jax.data import Padding
from lstm_jax.explain.explanation import explain, phrase_score, read_along
from lstm_jax.explain.names import METHODS
from lstm_jax.explain.page import explanation_page
from lstm_jax.predictor import Predictor

TEXT = "A very SLOW film, verdict1 — <b>good</b> scene & music\n\tverdict0 $x$"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Predictor:
    path = tmp_path_factory.mktemp("runs") / "run"
    text = replace(small.CONFIG.text, tokenizer="punctuation", ngrams=(20,))
    model = replace(small.CONFIG.model, linear=True)
    small.train(replace(small.CONFIG, text=text, model=model), small.corpus(classes=3), path)
    return lstm_jax.load(path)


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["lstm_jax", "explain", *map(str, arguments)])
    cli.main()


@pytest.mark.parametrize("method", METHODS)
def test_every_word_has_a_score_and_stands_where_it_stood(run, method):
    found = run.explain(TEXT, method=method, class_name="class 1")
    assert [word for word, _ in found.words()][:5] == ["A", "very", "SLOW", "film", ","]
    assert found.class_name == "class 1"
    expected = run.predict_proba([TEXT])[0]
    np.testing.assert_allclose(list(found.probabilities.values()), expected, atol=1e-6)
    assert found.label == run.class_names[expected.argmax()]
    logits = run.logits([TEXT])[0]
    assert found.logit == pytest.approx(logits[1] - logits.mean(), abs=1e-5)
    if method in ("ledger", "lrp"):
        total = sum(score for _, score in found.words()) + found.base
        assert total == pytest.approx(found.logit, abs=1e-5)
        assert found.error is not None
    else:
        assert (found.error is None) == (method in ("gradient_x_input", "occlusion"))


def test_the_word_that_decides_counts_most(run):
    found = run.explain("the very slow verdict2 a film", method="occlusion")
    assert found.class_name == "class 2"
    assert max(found.words(), key=lambda word: word[1])[0] == "verdict2"


def test_many_texts_are_explained_in_their_order(run):
    texts = [f"{'film ' * (n % 7)}verdict{n % 3}" for n in range(37)]
    for method in ("lrp", "occlusion"):
        for text, found in zip(texts, explain(run, texts, method=method), strict=True):
            assert found.text == text
            alone = run.explain(text, method=method)
            assert found.logit == pytest.approx(alone.logit, abs=1e-5)
            np.testing.assert_allclose(
                [score for _, score in found.words()],
                [score for _, score in alone.words()],
                atol=1e-5,
            )


@pytest.mark.parametrize("text", ["", " ", "\x00", "verdict1"])
def test_a_text_of_hardly_anything_is_explained(run, text):
    for method in METHODS:
        found = run.explain(text, method=method)
        assert np.isfinite(found.logit)
        assert found._repr_html_()


def test_words_beyond_what_is_read_have_no_score(run):
    text = " ".join(f"verdict{n % 3}" for n in range(40))
    found = run.explain(text)
    unread = [token for token in found.tokens if token.score is None]
    assert len(unread) == 16  # of 41 ids the last 24 are read
    assert "unread" in found._repr_html_()


def test_padding_that_is_read_counts_as_no_word(run):
    text = replace(run.config.text, pad="front", max_length=12)
    front = Predictor(
        run.path,
        replace(run.config, text=text),
        run.class_names,
        run.tokenizer,
        run.params,
        run.temperature,
        run.model.ngrams,
    )
    assert text.padding == Padding(12, pad="front", truncate=text.truncate)
    found = front.explain("very good film")
    logits = front.logits(["very good film"])[0]
    assert found.logit == pytest.approx(max(logits) - logits.mean(), abs=1e-5)
    assert len(found.words()) == 3
    total = sum(score for _, score in found.words()) + found.base
    assert total == pytest.approx(found.logit, abs=1e-5)


def test_a_phrase_has_a_score_of_its_own(run, monkeypatch, capsys):
    text = "very good verdict1 film"
    by_word = dict(run.explain(text, method="decomposition", class_name="class 1").words())
    score = phrase_score(run, text, "verdict1", "class 1")
    assert score == pytest.approx(by_word["verdict1"], abs=1e-5)
    both = phrase_score(run, text, "good verdict1", "class 1")
    assert abs(both - by_word["good"] - by_word["verdict1"]) > 1e-4
    command(monkeypatch, run.path, text, "--class", "class 1", "--phrase", "good verdict1", "film")
    assert f"phrase 'good verdict1': {both:+.3f}" in capsys.readouterr().out
    for phrase in ("bad", "ver", ""):
        with pytest.raises(ValueError, match="phrase must stand in the part of the text that is"):
            phrase_score(run, text, phrase, "class 1")


def test_reading_along_ends_at_the_probability(run):
    found = read_along(run, "very good verdict1 film", "class 1")
    assert len(found) == 5
    expected = run.predict_proba(["very good verdict1 film", "very good"])[:, 1]
    assert found[[4, 2]] == pytest.approx(expected, abs=1e-6)


def test_a_page_has_no_markup_of_a_text(run):
    odd = replace(run.explain(TEXT), class_name="</title><script>alert(1)</script>")
    odd = replace(odd, probabilities={odd.class_name: 1.0})
    page = explanation_page([odd, odd], "<i>run</i>")
    assert "<script" not in page
    assert "<b>" not in page
    assert "<i>run" not in page
    assert "&lt;" in page
    assert "http:" not in page
    assert "https:" not in page


def test_a_terminal_shows_the_text_and_whether_the_words_add_up(run):
    shown = shown_text(run.explain(TEXT)).plain
    assert "— <b>good</b> scene & music" in shown
    assert "for: verdict" in shown
    assert "missed by" in shown


def test_the_command_prints_and_writes_what_it_is_asked_for(run, tmp_path, monkeypatch, capsys):
    page, picture = tmp_path / "why.html", tmp_path / "why.png"
    command(monkeypatch, run.path, TEXT, "verdict2", "--html", page, "--figure", picture)
    said = capsys.readouterr()
    assert said.out.count("missed by") == 2
    assert f"See {page}" in said.err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert page.read_text().count("<section>") == 2
    command(monkeypatch, run.path, TEXT, "--json", "--method", "lrp", "--class", "class 0")
    found = json.loads(capsys.readouterr().out)
    assert (found["method"], found["class_name"]) == ("lrp", "class 0")
    assert found["tokens"][2]["text"] == "SLOW"


def test_files_are_explained_up_to_so_many_texts(run, tmp_path, monkeypatch, capsys):
    table = tmp_path / "texts.csv"
    table.write_text("id,text\n" + "\n".join(f"{n},verdict{n % 3} film" for n in range(30)))
    command(monkeypatch, run.path, "--file", table, "--text-column", "text", "--json")
    assert len(capsys.readouterr().out.splitlines()) == 20
    command(monkeypatch, run.path, "--file", table, "--most", "3", "--json")
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a text", "--method", "guess"], "--method must be 'decomposition',"),
        (["a text", "--class", "class 9"], "--class must be one of class 0, class 1, class 2"),
        (["a text", "--file", "x.csv"], "texts and --file cannot be given together"),
        (["a text", "--most", "0"], "--most must be at least 1, got 0"),
        (["a text", "--text-column", "x"], "--text-column goes only with --file"),
        (["a text", "--figure", "why.doc"], "why.doc: a picture's name must end in .png"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    run, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, run.path, *arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]


def test_from_python_a_wrong_name_is_refused(run):
    wrong: Any = "guess"
    with pytest.raises(ValueError, match="method must be one of ledger"):
        run.explain("a", method=wrong)
