"""The word tokenizer against a re-implementation of Keras's, on odd texts and on real reviews."""

import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from lstm_jax.data.imdb import PREPARED, read_prepared
from lstm_jax.text import PADDING, START, UNKNOWN, WordTokenizer
from lstm_jax.text.tokenizer import PRESETS

SHARED = Path(__file__).parents[2] / "shared" / "data"
KERAS_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'

TEXTS = [
    "A great movie, a GREAT movie!",
    "it's a bad, bad film<br /><br />don't see it...",
    "",
    "tab\there\nand\r\nthere  two  spaces",
    "Ünïcode café naïve ΚΑΛΗ İstanbul 映画 最高 🎬 STRAẞE",
    "no-break\u00a0space line\u2028separator zero\u200bwidth",
    "quotes \"double\" 'single' `back` _under_ [brackets] {curly} ~|^\\",
    "<pad> <start> <unk> is not special",
    "10/10 3.5 1,000 $5 50% a@b.c #tag",
    "\x00\x1f control \x7f characters",
]


def keras_words(text):
    """keras.preprocessing.text.text_to_word_sequence with its default arguments."""
    text = text.lower().translate(str.maketrans(dict.fromkeys(KERAS_FILTERS, " ")))
    return [word for word in text.split(" ") if word]


def keras_ids(texts, trained_on, num_words):
    """Ids as keras.datasets.imdb gives them: 1, then rank + 2 if below num_words, else 2."""
    counts = Counter(word for text in trained_on for word in keras_words(text))
    ranked = sorted(counts, key=lambda word: (-counts[word], word.encode()))
    ids = {word: rank + 2 for rank, word in enumerate(ranked, 1) if rank + 2 < num_words}
    return [[START] + [ids.get(word, UNKNOWN) for word in keras_words(text)] for text in texts]


def as_lists(encoded):
    return [ids.tolist() for ids in encoded]


@pytest.mark.parametrize("vocabulary_size", [4, 10, 1000])
def test_keras_preset_gives_the_ids_of_keras(vocabulary_size):
    tokenizer = WordTokenizer.train(TEXTS, preset="keras", vocabulary_size=vocabulary_size)
    assert as_lists(tokenizer.encode_batch(TEXTS)) == keras_ids(TEXTS, TEXTS, vocabulary_size)


# Keras lower-cases with str.lower, which alone knows the final sigma; see the class's docstring.
# Surrogates are no text, and letters that Python's Unicode tables lack have no known lower case.
@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.text(
            st.characters(
                exclude_categories=("Cs", "Cn"), exclude_characters="Σ", max_codepoint=0x24FF
            )
        ),
        min_size=1,
        max_size=5,
    )
)
def test_keras_preset_cuts_any_text_as_keras_does(texts):
    trained_on = [*texts, "word"]
    tokenizer = WordTokenizer.train(trained_on, preset="keras", vocabulary_size=1000)
    assert as_lists(tokenizer.encode_batch(texts)) == keras_ids(texts, trained_on, 1000)


# What the rules speak of, and what stands next to it.
FRAGMENTS = [
    *("n't", "'s", "'re", "'", "don", "it", "A", "Z", "_", "8/10", "3.5", "1,000", "0", "/", ","),
    *("<br />", "<BR>", "< / br\t/ >", "<br", ">", "<", ".", "..", "...", " ", "\t", "\r\n"),
    *("\x0b", "\x0c", "\x1c", "\x1f", "\x00", "\x7f", "<pad>", "<start>", "<unk>", "good"),
]


@pytest.mark.parametrize("preset", ["keras", "punctuation", "characters"])
@settings(deadline=None, max_examples=500)
@given(
    st.lists(
        st.one_of(st.sampled_from(FRAGMENTS), st.characters(max_codepoint=127)), max_size=20
    ).map("".join)
)
def test_texts_in_ascii_have_the_ids_of_the_library(preset, text):
    trained_on = [text, *TEXTS, " ".join(FRAGMENTS)]
    tokenizer = WordTokenizer.train(trained_on, preset=preset, vocabulary_size=60)
    library = Tokenizer.from_str(tokenizer.to_json())
    texts = [text, "caf\u00e9", text + "\u00e9", text]  # in ASCII or not, in their order
    assert as_lists(tokenizer.encode_batch(texts)) == [library.encode(t).ids for t in texts]


@pytest.mark.real_data
@pytest.mark.skipif(not (SHARED / "tfds").is_dir(), reason="no prepared IMDB reviews here")
@pytest.mark.parametrize("preset", ["keras", "punctuation", "characters"])
def test_real_reviews_have_the_ids_of_the_library(preset):
    # The library is slow with characters.
    count = 500 if preset == "characters" else 4000
    texts = read_prepared(SHARED / "tfds" / PREPARED).train.texts[:count]
    tokenizer = WordTokenizer.train(texts, preset=preset, vocabulary_size=50_000)
    library = Tokenizer.from_str(tokenizer.to_json())
    found = as_lists(tokenizer.encode_batch(texts))
    assert found == [encoding.ids for encoding in library.encode_batch(texts)]


@pytest.mark.real_data
@pytest.mark.skipif(not (SHARED / "tfds").is_dir(), reason="no prepared IMDB reviews here")
def test_keras_preset_gives_the_ids_of_keras_on_real_reviews():
    texts = read_prepared(SHARED / "tfds" / PREPARED).train.texts[:8000]
    tokenizer = WordTokenizer.train(texts[:6000], preset="keras", vocabulary_size=6000)
    assert tokenizer.vocabulary_size == 6000
    unseen = texts[6000:]
    assert as_lists(tokenizer.encode_batch(unseen)) == keras_ids(unseen, texts[:6000], 6000)


def punctuation_words(text):
    tokenizer = WordTokenizer.train([text], preset="punctuation", vocabulary_size=1000)
    return tokenizer.words(tokenizer.encode_batch([text])[0])[1:]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Good, not BAD!", "good , not bad !"),
        ("I don't, can't, won't", "i do n't , ca n't , wo n't"),
        ("it\u2019s John's; they're we've", "it 's john 's ; they 're we 've"),
        ("I'm you'll he'd", "i 'm you 'll he 'd"),
        ("couldn't've", "could n't 've"),
        ("rock'n'roll o'neil 'quoted'", "rock ' n ' roll o ' neil ' quoted '"),
        ("8/10 3.5 1,000 the 1950s 1950's", "8/10 3.5 1,000 the 1950s 1950 's"),
        ("end.<br /><br>\n<BR/>New", "end . <br> new"),
        ("well.... so\u2026 yes.", "well ... so ... yes ."),
        ("what?! <i>a-b</i>", "what ? ! < i > a - b < / i >"),
        ("cafe\u0301 最高 🎬", "café 最高 🎬"),
        ("<pad> <unk>", "< pad > < unk >"),
        ("antn't nt n'to", "ant n't nt n ' to"),
    ],
)  # fmt: skip
def test_punctuation_preset_cuts_as_documented(text, words):
    assert punctuation_words(text) == words.split(" ")


@pytest.mark.parametrize("preset", PRESETS)
def test_text_cannot_reach_the_special_ids(preset):
    texts = ["<pad> <start> <unk> pad start unk"]
    tokenizer = WordTokenizer.train(texts, preset=preset, vocabulary_size=100)
    ids = tokenizer.encode_batch(texts)[0]
    assert ids[0] == START
    assert (ids == START).sum() == (2 if preset == "characters" else 1)
    assert ids[ids != START].min() > UNKNOWN


@pytest.mark.parametrize("preset", ["keras", "punctuation"])
def test_empty_text_is_the_start_alone_and_unseen_words_are_unknown(preset):
    tokenizer = WordTokenizer.train(["good bad"], preset=preset, vocabulary_size=100)
    assert tokenizer.vocabulary_size == 5
    encoded = tokenizer.encode_batch(["", " \n", "good movie"])
    assert all(ids.dtype == np.int32 for ids in encoded)
    assert as_lists(encoded) == [[START], [START], [START, 4, UNKNOWN]]
    assert tokenizer.words([PADDING, *encoded[2]]) == ["<pad>", "<start>", "good", "<unk>"]
    assert tokenizer.encode_batch([]) == []


def test_frequent_words_come_first_and_ties_are_alphabetical_in_any_order_of_texts():
    texts = ["c b a", "c b", "c", "d a"]
    for order in (texts, texts[::-1]):
        tokenizer = WordTokenizer.train(iter(order), preset="keras", vocabulary_size=6)
        assert tokenizer.words(range(6)) == ["<pad>", "<start>", "<unk>", "c", "a", "b"]


def test_encoding_in_chunks_is_encoding_one_by_one():
    texts = [f"word{number % 7} " * (number % 5) for number in range(5000)]
    tokenizer = WordTokenizer.train(texts, preset="keras", vocabulary_size=100)
    together = as_lists(tokenizer.encode_batch(texts))
    assert len(together) == 5000
    for number in (0, 1, 2047, 2048, 4095, 4096, 4999):
        assert together[number] == as_lists(tokenizer.encode_batch([texts[number]]))[0]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_reload_gives_the_same_ids_here_and_in_the_library(preset, tmp_path):
    tokenizer = WordTokenizer.train(TEXTS, preset=preset, vocabulary_size=50)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = WordTokenizer.load(tmp_path / "tokenizer.json")
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    expected = as_lists(tokenizer.encode_batch(TEXTS))
    assert as_lists(again.encode_batch(TEXTS)) == expected
    assert [encoding.ids for encoding in plain.encode_batch(TEXTS)] == expected
    assert (again.preset, again.vocabulary_size) == (preset, tokenizer.vocabulary_size)
    again.save(tmp_path / "second.json")
    assert (tmp_path / "second.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


def test_training_says_what_is_wrong_with_its_arguments():
    with pytest.raises(ValueError, match=r"preset must be one of keras, .* bpe, got 'spaces'"):
        WordTokenizer.train(["a"], preset="spaces", vocabulary_size=10)
    with pytest.raises(ValueError, match=r"vocabulary_size must be at least 4, .* got 3"):
        WordTokenizer.train(["a"], preset="keras", vocabulary_size=3)
    with pytest.raises(ValueError, match=r"texts\[1\] must be a string, got NoneType"):
        WordTokenizer.train(["a", None], preset="keras", vocabulary_size=10)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="texts must be a list of strings, got a single string"):
        WordTokenizer.train("a word", preset="keras", vocabulary_size=10)
    for texts in ([], ["", " ... "]):
        with pytest.raises(ValueError, match="texts must have at least one word"):
            WordTokenizer.train(texts, preset="keras", vocabulary_size=10)
    for preset in ("characters", "bpe"):
        with pytest.raises(ValueError, match="texts must have at least one word"):
            WordTokenizer.train(["", " \n"], preset=preset, vocabulary_size=10)


def test_encoding_says_what_is_wrong_with_its_arguments():
    tokenizer = WordTokenizer.train(["a"], preset="keras", vocabulary_size=10)
    with pytest.raises(ValueError, match=r"texts\[1\] must be a string, got bytes"):
        tokenizer.encode_batch(["a", b"b"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"texts\[2050\] must be valid Unicode"):
        tokenizer.encode_batch(["a"] * 2050 + ["\ud83d"])
    for outside in (-1, 4):
        with pytest.raises(ValueError, match=f"ids must be from 0 to 3, got {outside}"):
            tokenizer.words([0, outside])


def test_loading_says_what_is_wrong_with_the_file(tmp_path):
    with pytest.raises(ValueError, match=r"missing\.json: no such file"):
        WordTokenizer.load(tmp_path / "missing.json")
    broken = tmp_path / "broken.json"
    broken.write_text('{"version": "1.0"')
    with pytest.raises(ValueError, match=r"broken\.json: not a tokenizer written by"):
        WordTokenizer.load(broken)
    vocabulary = {"<pad>": 0, "<start>": 1, "<unk>": 2, "a": 3}
    other = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    other.save(str(tmp_path / "other.json"))
    with pytest.raises(ValueError, match="must have the rules of one of the presets"):
        WordTokenizer.load(tmp_path / "other.json")
    unordered = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    unordered.save(str(tmp_path / "unordered.json"))
    with pytest.raises(ValueError, match=r"got \['a', '<unk>'\]"):
        WordTokenizer.load(tmp_path / "unordered.json")


def test_a_tokenizer_saved_with_the_slow_expression_opens_and_gives_the_same_ids(tmp_path):
    tokenizer = WordTokenizer.train(TEXTS, preset="punctuation", vocabulary_size=50)
    content = json.loads(tokenizer.to_json())
    slow = r"(?:<\s*/?\s*br\s*/?\s*>\s*)+"
    for part in content["normalizer"]["normalizers"]:
        if part.get("content") == " <br> ":
            part["pattern"]["Regex"] = slow
    saved = tmp_path / "tokenizer.json"
    saved.write_text(json.dumps(content), encoding="utf-8")
    breaks = ["a<br>b", "a< br / >\n</br><BR/>b", "é<br//>b", "é</br/>\u2028<br >é", "<br", "é< /"]
    old = Tokenizer.from_file(str(saved))
    assert slow in old.to_str().replace("\\\\", "\\")
    again = WordTokenizer.load(saved)
    assert again.to_json() == tokenizer.to_json()
    for text in [*TEXTS, *breaks]:
        assert again.encode_batch([text])[0].tolist() == old.encode(text).ids


PARTS = [
    *(
        "<",
        ">",
        "/",
        "br",
        "<br",
        "<br />",
        " ",
        "\n",
        "\t",
        "\u2028",
        "'",
        "n't",
        "can't",
        "\u2019",
    ),
    *(".", "...", "\u2026", ",", "1", "8/10", "a", "A", "é", "e\u0301", "\u0301", "\u0316\u0301"),
    *("İ", "ǅ", "ß", "映", "🎬", "\u1100\u1161", "ﷺ", "-", "_", "\x00", "\u200b", "²", "½"),
]
TRAINED = {
    preset: WordTokenizer.train(TEXTS, preset=preset, vocabulary_size=50) for preset in PRESETS
}
PER_BYTE = 20e-6  # seconds of one processor; quadratic time takes 100e-6 and more at this length


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(PRESETS),
    st.lists(st.sampled_from(PARTS), max_size=3),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=4),
    st.lists(st.sampled_from(PARTS), max_size=3),
)
@example("punctuation", ["<"], [" "], [])
@example("punctuation", ["é<br"], ["\n"], [])
@example("punctuation", ["é", "</"], [" "], ["br"])
@example("punctuation", [], ["<br", " "], [])
@example("punctuation", [], ["1", "."], ["a"])
@example("punctuation", ["é"], ["a"], ["n't"])
@example("keras", ["é"], ["<"], [])
@example("characters", ["é"], [" "], ["a"])
@example("characters", [], ["\u0301"], [])
@example("bpe", [], ["映"], [])
@example("bpe", ["é"], ["a", "\u0301"], [])
@example("bpe", [], ["ﷺ"], [])
def test_a_text_is_cut_in_time_proportional_to_its_length(preset, before, repeated, after):
    tokenizer = TRAINED[preset]
    unit = "".join(repeated)
    text = "".join(before) + unit * (20_000 // len(unit)) + "".join(after)
    start = time.process_time()
    tokenizer.encode_batch([text])
    assert time.process_time() - start < PER_BYTE * len(text.encode()), repr(text[:40])
