"""A run as one page: its JavaScript reads, classifies and explains texts as the run does."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from lstm_jax.explain.ledger import survival
from lstm_jax.explain.methods import attribute
from lstm_jax.explain.readout import class_target
from lstm_jax.explain.trace import trace_classifier
from lstm_jax.interop.web import page, proof
from lstm_jax.interop.web.card import Card
from lstm_jax.interop.web.tables import Levels
from lstm_jax.predictor import Predictor
from lstm_jax.text import NGrams, WordTokenizer
from lstm_jax.train.quantized import quantise

NODE = shutil.which("node")
CHROMIUM = proof.find_browser()
needs_node = pytest.mark.skipif(NODE is None, reason="needs node")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

WORDS = small.corpus().train.texts
ODD = [
    *("", " \t\n ", "film", "good bad " * 40, "zzz qqq", "<pad> <start> <unk> <br>"),
    "good<br /><br/>< BR >BAD film!!! ... \u2026 (8/10, 3.5)",
    "don't can\u2019t it's film's 'good' plot-film o'clock won't. cann't2 n't",
    "caf\u00e9 cafe\u0301 \u0130stanbul \u03a3\u0391\u03a3 \ufb01lm stra\u00dfe \u1e9e\u0149",
    "\u6620\u753b\u6620\u753b \U0001f3ac\U0001f468\u200d\U0001f469 \u0645\u0631\u062d\u0628\u0627",
    "\u200b\u00a0 film\u2028film\u0085good\ufeffbad\u3000the\u1680a\x1cplot",
    "film\x0bgood\x00bad <\u0085br\u3000/> < / br > <br\ufeff/>",
    "\uff76\uff9e\uff8a\uff9f\uff21\uff22 \u1100\u1161\u11a8\ud55c\uae00 \u0e44\u0e17\u0e22",
    "\u1ed9\u0323\u0302 q\u0307\u0323 A\u030a \u212b \u2126 \u01c5 \u13a0\uab70 \U00010400",
    "the film is a very slow film, a very good plot",
    "1\u00bd \u0661\u0662,\u0663 1,000.5/2 x\u20dd a_b #tag @you ~\u2603\ufe0f &amp; \\ ` ^ $5",
]
POOLINGS = ("last", "max", "mean", "max_mean", "attention")
DIRECTIONS = ("forward", "backward", "bidirectional")
MERGES = ("concat", "sum", "mean", "mul")
CELLS = ("lstm", "peephole", "coupled", "no_bias")
PRESETS = ("keras", "punctuation", "characters", "bpe")
CUTS = ("front", "back", "middle")
CARD = Card("no or yes?", "a lead", (("Command", "python -m lstm_jax train a b"),))


@cache
def tokenizer(preset: str) -> WordTokenizer:
    return WordTokenizer.train([*WORDS, *ODD], preset=preset, vocabulary_size=60)


def random_run(
    model: dict[str, Any], text: dict[str, Any], names=("no", "yes"), ngrams=(), hidden=6
) -> Predictor:
    """A run whose weights, biases too, are drawn and not trained."""
    config = replace(
        small.CONFIG,
        text=replace(small.CONFIG.text, **{"tokenizer": "punctuation", "max_length": 12, **text}),
        model=replace(small.CONFIG.model, **{"hidden_size": hidden, "embedding_size": 7, **model}),
    )
    words = tokenizer(config.text.tokenizer)
    found = None
    if ngrams:
        found = NGrams.find(words.encode_batch([*WORDS, *ODD]), words.vocabulary_size, ngrams)
        assert len(found.keys) == len(ngrams)
    empty = Predictor(Path(), config, names, words, {}, 0.7, found)
    rng = np.random.default_rng(1)

    def drawn(path: Any, shape: Any) -> Any:
        name = jax.tree_util.keystr(path)
        numbers = rng.normal(0, 0.4, shape.shape).astype(np.float32)
        if "head" in name:  # so that probabilities differ where outputs are small
            numbers *= 3
        return np.abs(numbers) + 0.1 if "squares" in name else numbers

    params = jax.tree_util.tree_map_with_path(drawn, jax.eval_shape(empty._init))
    return Predictor(Path(), config, names, words, params, 0.7, found)


def case(number: int) -> Predictor:
    """Every pooling with every direction, and each other setting along with them in turn."""
    pooling, direction = POOLINGS[number % 5], DIRECTIONS[number // 5 % 3]
    bidirectional = number // 5
    model = {
        "pooling": pooling,
        "direction": direction,
        "merge": MERGES[bidirectional % 4] if number >= 15 else MERGES[number % 4],
        "cell": CELLS[(number + number // 4) % 4],
        "layers": 1 + number % 2,
        "linear": number % 3 == 0,
    }
    text = {
        "tokenizer": PRESETS[number % 4],
        "truncate": CUTS[number % 3],
        "pad": "front" if number % 7 == 3 else "back",
    }
    names = ("no", "yes", "maybe", "never")[: 4 if number % 5 == number // 5 else 2]
    ngrams = ((), (40,), (40, 10))[(number + number // 3) % 3]
    return random_run(model, text, names, ngrams, hidden=5 + number % 2)


# After those of every direction: both ways merged otherwise than side by side.
NUMBERS = (*range(15), 25, 26, 28, 40, 55, 58)


@pytest.fixture(scope="module")
def runs() -> dict[int, Predictor]:
    return {number: case(number) for number in NUMBERS}


@pytest.fixture(scope="module")
def answers(runs) -> dict[int, Any]:
    """What JavaScript says of the odd texts: of fine tables, and of those of a page."""
    fine = Levels(32_767, 32_767)
    cases = [page.describe(run, levels) for run in runs.values() for levels in (fine, Levels())]
    found = answered([(described, content, ODD) for described, content in cases])
    return dict(zip(runs, zip(found[::2], found[1::2], strict=True), strict=True))


def answered(cases: list[tuple[Any, str, list[str]]]) -> list[Any]:
    """What the engine says, all cases in one process."""
    names = ("described", "content", "texts")
    given = {"engine": page.engine(), "cases": [dict(zip(names, c, strict=True)) for c in cases]}
    done = subprocess.run(
        [str(NODE), str(Path(__file__).with_name("web_harness.js"))],
        input=json.dumps(given),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows(run: Predictor) -> tuple[Any, Any]:
    """Tokens and lengths of the odd texts, padded as the run pads them."""
    padding = run.config.text.padding
    cut = [padding.cut(ids) for ids in run.tokenizer.encode_batch(ODD)]
    if padding.pad == "front":
        cut = [np.pad(ids, (padding.max_length - len(ids), 0)) for ids in cut]
    tokens = np.array([np.pad(ids, (0, padding.max_length - len(ids))) for ids in cut])
    return jnp.asarray(tokens), jnp.asarray([len(ids) for ids in cut])


@needs_node
@pytest.mark.parametrize("number", NUMBERS)
def test_javascript_classifies_as_the_run_does(number, runs, answers):
    expected = runs[number].predict_proba(ODD)
    assert expected.std(axis=0).max() > 0.001, "a test on which all texts are alike"
    fine, rounded = (
        np.array([each["probabilities"] for each in found]) for found in answers[number]
    )
    np.testing.assert_allclose(fine, expected, atol=5e-5)
    np.testing.assert_allclose(rounded, expected, atol=proof.TOLERANCE)


@needs_node
@pytest.mark.parametrize("number", NUMBERS)
def test_the_ledger_is_that_of_python_and_adds_up_to_the_logit(number, runs, answers):
    run, (fine, rounded) = runs[number], answers[number]
    tokens, lengths = rows(run)
    for of in range(len(run.class_names)):
        target = class_target(run.model.outputs, jnp.full(len(ODD), of))
        expected = attribute(run.model, run.params, tokens, lengths, target, "ledger")
        for n, length in enumerate(np.asarray(lengths)):
            found = fine[n]["explained"][of]
            words = np.asarray(expected.words)[n, :length]
            np.testing.assert_allclose(found["words"], words, atol=3e-4)
            np.testing.assert_allclose(found["bias"], expected.base[n], atol=1e-4)
            for each in (found, rounded[n]["explained"][of]):
                total = sum(each["words"]) + each["bias"]
                np.testing.assert_allclose(total, each["value"], atol=1e-5)


@needs_node
@pytest.mark.parametrize("number", [0, 6, 12])
def test_survival_is_that_of_python(number, runs, answers):
    run, (fine, _) = runs[number], answers[number]
    tokens, lengths = rows(run)
    trace = trace_classifier(run.model, run.params, tokens, lengths)
    for place, direction in enumerate(trace.layers[-1].directions):
        expected = survival(direction.steps, lengths, reverse=direction.reverse)
        for n, length in enumerate(np.asarray(lengths)):
            found = np.array(fine[n]["survival"][place]).reshape(length, -1)
            np.testing.assert_allclose(found, expected[n, :length], atol=1e-4)


def strange_texts(count: int) -> list[str]:
    """Random texts of letters, marks, signs and spaces of many scripts."""
    rng = np.random.default_rng(0)
    ranges = [(9, 14), (32, 127), (127, 0x250), (0x250, 0x600), (0x600, 0x700), (0xE00, 0xE80)]
    ranges += [(0x1100, 0x1200), (0x1E00, 0x2070), (0x2100, 0x2200), (0x3000, 0x3100)]
    ranges += [(0xAC00, 0xAC80), (0xFB00, 0xFB10), (0xFF00, 0xFFA0), (0x1F300, 0x1F400)]
    ranges += [(0x300, 0x370), (32, 127), (32, 127)]
    texts = []
    for _ in range(count):
        picked = [ranges[n] for n in rng.integers(len(ranges), size=rng.integers(1, 60))]
        texts.append("".join(chr(rng.integers(first, end)) for first, end in picked))
    return texts


@needs_node
def test_ids_are_those_of_python_on_odd_texts():
    texts, cases, expected = [*ODD, *strange_texts(400)], [], []
    for preset in PRESETS:
        tokens = WordTokenizer.train([*WORDS, *texts], preset=preset, vocabulary_size=900)
        run = random_run({"direction": "forward"}, {"tokenizer": preset})
        run = Predictor(Path(), run.config, run.class_names, tokens, {}, 1.0)
        shapes = jax.eval_shape(run._init)
        params = jax.tree.map(lambda shape: np.zeros(shape.shape, np.float32), shapes)
        run = Predictor(Path(), run.config, run.class_names, tokens, params, 1.0)
        cases.append((*page.describe(run), texts))
        expected.append([ids.tolist() for ids in tokens.encode_batch(texts)])
    for preset, mine, found in zip(PRESETS, expected, answered(cases), strict=True):
        for text, ids, answer in zip(texts, mine, found, strict=True):
            assert [token["id"] for token in answer["tokens"]] == ids, f"{preset}: {text!r}"
            places = [(token["start"], token["end"]) for token in answer["tokens"]]
            units = len(text.encode("utf-16-le")) // 2
            assert all(0 <= start <= end <= units for start, end in places), f"{preset}: {text!r}"


@needs_node
def test_tokens_stand_where_they_were_typed():
    run = random_run({"direction": "forward"}, {})
    text = "Cafe\u0301 FILM\u2026 good<br /><br />Don\u2019t"
    ((answer,),) = answered([(*page.describe(run), [text])])
    shown = [text[token["start"] : token["end"]] for token in answer["tokens"]]
    assert shown == ["", "Cafe\u0301", "FILM", "\u2026", "good", "<br /><br />", "Do", "n\u2019t"]


@needs_node
def test_typing_on_gives_what_reading_anew_gives():
    run = random_run({"pooling": "max_mean", "layers": 2}, {}, ngrams=(40,))
    typed = ["the", "the film", "the film is", "the film is good", "a film is good", "film is good"]
    case = page.describe(run)
    (together,) = answered([(*case, typed)])
    alone = [each for (each,) in answered([(*case, [text]) for text in typed])]
    assert together == alone


def test_rounding_is_within_half_a_step_of_a_row():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(50, 9)).astype(np.float32) * rng.uniform(0, 3, (50, 1))
    matrix[3] = 0
    for levels, kind in ((127, np.int8), (255, np.int16)):
        numbers, scales, step = quantise(matrix, levels)
        assert numbers.dtype == kind
        assert np.abs(numbers).max() <= levels
        restored = numbers * (scales[:, None] * step)
        most = np.abs(matrix).max(axis=1, keepdims=True)
        assert (np.abs(restored - matrix) <= most / levels / 2 + step).all()


HOSTILE = "</script><script>document.title='harmed'</script>"
MARKUP = "<img src=x onerror=\"document.title='harmed'\">&amp;{{tables}}"


def written(tmp_path: Path, names=("no", "yes"), **model: Any) -> tuple[Predictor, Path]:
    """A page of a run with random weights."""
    run = random_run({"linear": True, **model}, {"max_length": 60}, names, (40,))
    card = Card(HOSTILE, MARKUP, (("Command", HOSTILE), (MARKUP, HOSTILE)))
    text = page.page_of(run, ["a good film", HOSTILE, MARKUP], card)
    file = tmp_path / "index.html"
    file.write_text(text, encoding="utf-8")
    return run, file


def test_the_page_may_load_nothing_and_names_no_address(tmp_path):
    text = written(tmp_path)[1].read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|\bsrc=(?!x)|\bhref=", text)


def test_what_comes_from_outside_is_no_markup(tmp_path):
    run, file = written(tmp_path, (HOSTILE, MARKUP, "plain"))
    text = file.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script>") == 4
    assert "<img" not in text
    (described,) = re.findall(r'<script id="described"[^>]*>(.*?)</script>', text)
    assert json.loads(described)["classes"] == list(run.class_names)
    assert json.loads(described)["examples"] == ["a good film", HOSTILE, MARKUP]
    (title,) = re.findall(r"<title>(.*?)</title>", text)
    assert unescape(title) == HOSTILE


@needs_chromium
def test_a_browser_shows_what_the_run_says_while_someone_types(tmp_path):
    run, file = written(tmp_path, (HOSTILE, MARKUP, "plain"))
    text = f"A very good film. {HOSTILE} {MARKUP} bad"
    typing = """
    const text = TEXT;
    opened.then(() => setTimeout(() => {
      const field = document.getElementById("text");
      field.value = text;
      field.dispatchEvent(new Event("input"));
      setTimeout(() => {
        const shown = (id) => document.getElementById(id).textContent;
        const answer = { label: shown("label"), probability: shown("probability"),
          words: shown("words"), sum: shown("sum"), checked: shown("checked"),
          title: document.title, images: document.images.length,
          labels: [...document.querySelectorAll(".word")].map((e) => e.getAttribute("aria-label")),
          wide: document.documentElement.scrollWidth <= innerWidth };
        document.documentElement.textContent = "proof" + JSON.stringify(answer) + "proof";
      }, 500);
    }, 100));
    """
    quoted = json.dumps(text).replace("<", "\\u003c")
    dump = proof.dump_page(str(CHROMIUM), file, typing.replace("TEXT", quoted))
    assert dump is not None
    found = re.search(r"proof(\{.*\})proof", dump, re.DOTALL)
    assert found is not None
    answer = json.loads(unescape(found[1]))
    (expected,) = run.predict_proba([text])
    assert answer["label"] == run.class_names[expected.argmax()]
    assert abs(float(answer["probability"].rstrip("%")) / 100 - expected.max()) < 0.003
    assert answer["title"] == HOSTILE
    assert answer["images"] == 0
    assert "good film. </script>" in answer["words"]
    assert any(re.fullmatch(r"good: [+−]?\d\.\d\d", label) for label in answer["labels"])
    score = re.search(r"=([+−]\d\.\d{3})$", answer["sum"])
    assert score is not None
    assert score[1] in answer["checked"]
    assert answer["wide"]


def test_a_cell_that_a_page_lacks_is_refused():
    with pytest.raises(ValueError, match="cell must be one of lstm, peephole, coupled, no_bias"):
        page.describe(random_run({"cell": "layer_norm"}, {}))
