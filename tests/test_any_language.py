"""Tokenizers for characters and for texts without spaces, and which of them suits which texts."""

import time
from dataclasses import replace

import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

import lstm_jax
from lstm_jax.data import Corpus, Examples
from lstm_jax.interop.export import export_run
from lstm_jax.text import START, UNKNOWN, NGrams, WordTokenizer
from lstm_jax.text.rules import LONGEST, RULES
from lstm_jax.text.scripts import choose_tokenizer, script_of, scripts, unspaced_share
from lstm_jax.text.tokenizer import PRESETS

ENGLISH = ["a film that is better than its plot", "the music was too loud for the whole scene"]
CHINESE = ["这部电影非常好看，演员的表演也很出色。", "故事太慢了，我不喜欢这部电影。"]
JAPANESE = ["この映画はとても面白かったです。", "話が遅くて、好きではありません。"]
THAI = ["ภาพยนตร์เรื่องนี้ดีมาก นักแสดงเก่ง", "เรื่องช้าเกินไป ไม่ชอบ"]
RUSSIAN = ["очень хороший фильм, всем советую его посмотреть"]
NAMES = ["Anna", "Maria Silva", "José", "Oleksandr", "Ng"]
CODES = ["AB-1234", "XK-99", "ZZ-0001", "12345"]


def cut(preset: str, text: str, *others: str, size: int = 1000) -> list[str]:
    tokenizer = WordTokenizer.train([text, *others], preset=preset, vocabulary_size=size)
    return tokenizer.words(tokenizer.encode_batch([text])[0])[1:]


# Characters -----------------------------------------------------------------------------------


def test_every_character_is_a_token_and_white_space_is_one_space():
    assert cut("characters", " Ab\t\n c\u0301\u00a0\u2003D ") == [*"ab ć d", "<start>"]
    assert cut("characters", "e\u0301 İ 🎬") == ["é", " ", "i", "\u0307", " ", "🎬", "<start>"]


def test_the_start_token_ends_a_text_of_characters_so_that_n_grams_know_its_last_letters():
    tokenizer = WordTokenizer.train(["anna", "maria"], preset="characters", vocabulary_size=50)
    ids = tokenizer.encode_batch(["anna", "maria", "", " "])
    assert [row[-1] for row in ids] == [START] * 4
    assert [row.tolist() for row in ids[2:]] == [[START, START]] * 2
    ngrams = NGrams.find(ids[:2], tokenizer.vocabulary_size, [10])
    (a,) = (n for n in range(tokenizer.vocabulary_size) if tokenizer.words([n]) == ["a"])
    assert a * tokenizer.vocabulary_size + START in ngrams.keys[0]


# Every character but surrogates and those that a version of Unicode may not know yet.
ANY = st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=12)


@settings(deadline=None, max_examples=300)
@given(st.lists(ANY, min_size=1, max_size=4), st.sampled_from(["characters", "bpe"]))
def test_any_text_has_the_ids_of_the_library(texts, preset):
    tokenizer = WordTokenizer.train([*texts, "word"], preset=preset, vocabulary_size=40)
    library = Tokenizer.from_str(tokenizer.to_json())
    ids = [row.tolist() for row in tokenizer.encode_batch(texts)]
    assert ids == [library.encode(text).ids for text in texts]
    again = WordTokenizer.train(["word", *texts[::-1]], preset=preset, vocabulary_size=40)
    assert again.to_json() == tokenizer.to_json()


def test_frequent_characters_come_first_and_ties_are_alphabetical():
    tokenizer = WordTokenizer.train(["ccb", "cba"], preset="characters", vocabulary_size=5)
    assert tokenizer.words(range(5)) == ["<pad>", "<start>", "<unk>", "c", "b"]
    assert tokenizer.encode_batch(["abx"])[0].tolist() == [START, UNKNOWN, 4, UNKNOWN, START]


# Byte-pair encoding ---------------------------------------------------------------------------


def test_texts_without_spaces_are_cut_into_pieces_that_repeat():
    pieces = cut("bpe", "电影好看。电影不好。", "看电影", "电影院")
    assert "电影" in pieces
    assert pieces.count("。") == 2
    assert "".join(pieces) == "电影好看。电影不好。"


def test_full_width_and_half_width_forms_are_one():
    assert cut("bpe", "ＡＢＣ ﾃｽﾄ") == cut("bpe", "abc テスト")


def test_pieces_never_reach_over_spaces_punctuation_or_the_border_of_unspaced_scripts():
    for text in ("ab ab ab", "ab,ab,ab", "ab电ab电ab", "ab12ab12ab"):
        pieces = cut("bpe", text, text * 5)
        assert {"ab"} <= set(pieces) <= {"ab", ",", "电", "12"}


def test_unknown_characters_are_unknown_ids():
    tokenizer = WordTokenizer.train(CHINESE, preset="bpe", vocabulary_size=200)
    assert tokenizer.encode_batch(["电龘。☃"])[0][2:].tolist().count(UNKNOWN) == 2


def test_the_most_frequent_characters_are_kept_where_ids_are_few():
    texts = ["一一一二二三", "四"]
    tokenizer = WordTokenizer.train(texts, preset="bpe", vocabulary_size=5)
    assert tokenizer.words(range(3, 5)) == ["一", "二"]


def test_pieces_are_numbered_by_how_often_they_are_used():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("一二三四五六七八"), 30)) for _ in range(50)]
    tokenizer = WordTokenizer.train(texts, preset="bpe", vocabulary_size=60)
    used = np.bincount(np.concatenate(tokenizer.encode_batch(texts)), minlength=60)[3:]
    assert (np.diff(used) <= 0).all()


def test_training_on_a_long_text_without_spaces_takes_time_proportional_to_its_length():
    rng = np.random.default_rng(0)
    characters = np.array([chr(0x4E00 + n) for n in range(300)])

    def seconds(length: int) -> float:
        text = "".join(rng.choice(characters, length))
        start = time.process_time()
        WordTokenizer.train([text], preset="bpe", vocabulary_size=1000)
        return time.process_time() - start

    seconds(1000)
    assert seconds(80_000) < 20 * max(seconds(8_000), 0.02)  # 100 times, were words unlimited


@pytest.mark.parametrize("preset", ["characters", "bpe"])
def test_a_file_with_the_rules_of_one_preset_and_the_model_of_another_is_refused(preset):
    other = models.BPE if preset == "characters" else models.WordLevel
    vocabulary = {"<pad>": 0, "<start>": 1, "<unk>": 2, "a": 3}
    model = other(vocabulary, [], unk_token="<unk>") if other is models.BPE else other(vocabulary)
    library = Tokenizer.from_str(
        WordTokenizer.train(["a"], preset=preset, vocabulary_size=9).to_json()
    )
    library.model = model
    with pytest.raises(ValueError, match="must have the rules of one of the presets"):
        WordTokenizer(library)


# Which tokenizer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "tokenizer", "reason"),
    [
        (ENGLISH, "punctuation", "spaces between"),
        (RUSSIAN, "punctuation", "spaces between"),
        (CHINESE, "bpe", "100% of the letters are Han"),
        (JAPANESE, "bpe", "Kana"),
        (THAI, "bpe", "Thai"),
        (CHINESE * 3 + ENGLISH, "bpe", "Han"),
        (CHINESE + ENGLISH * 4, "punctuation", "spaces between"),
        (NAMES, "characters", "1 word and 4 characters"),
        (CODES, "characters", "1 word and 5 characters"),
        ([], "punctuation", ""),
        (["", " "], "punctuation", ""),
    ],
)
def test_the_tokenizer_is_chosen_by_script_and_length(texts, tokenizer, reason):
    choice = choose_tokenizer(texts)
    assert choice.tokenizer == tokenizer
    assert reason in choice.reason
    assert tokenizer in PRESETS


def test_letters_are_counted_by_script():
    found = scripts(["Aé1, я", "电かカー ก", "한글 ｱＡ", "µ²𝐀ʰ"])
    assert found == {"Latin": 3, "Cyrillic": 1, "Han": 1, "Kana": 4, "Thai": 1, "Hangul": 2}
    names = {"א": "Hebrew", "ع": "Arabic", "अ": "Devanagari", "ա": "Armenian", "ლ": "Georgian"}
    assert {letter: script_of(letter) for letter in names} == names
    assert unspaced_share(["ab电影"]) == 0.5
    assert unspaced_share(["12 !"]) == 0


def test_a_sample_of_many_or_long_texts_is_counted():
    assert scripts(["a"] * 5000).total() == 1000
    assert scripts(["a" * 5000]).total() == 2000


# Runs -----------------------------------------------------------------------------------------


def without_spaces(count: int = 230) -> Examples:
    """Texts of words of Han characters without spaces; one word of two decides the class."""
    rng = np.random.default_rng(0)
    characters = [chr(0x4E00 + n) for n in range(40)]
    words = ["".join(rng.choice(characters, rng.integers(1, 4))) for _ in range(30)]
    verdicts = ["好看极了", "难看死了"]
    labels = np.arange(count, dtype=np.int32) % 2
    texts = []
    for label in labels:
        some = [*rng.choice(words, rng.integers(3, 8)), verdicts[label], "。"]
        texts.append("".join(rng.permutation(some[:-1])) + some[-1])
    return Examples(texts, labels)


def names(count: int = 230) -> Examples:
    """Made-up names; the last letter decides the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int32) % 2
    texts = ["".join(rng.choice(list("abeilmnorst"), 5)) + "ao"[label] for label in labels]
    return Examples(texts, labels)


@pytest.mark.parametrize("tokenizer", ["bpe", "characters"])
def test_a_run_learns_predicts_and_exports_without_words(tokenizer, tmp_path):
    examples = without_spaces() if tokenizer == "bpe" else names()
    assert choose_tokenizer(examples.texts).tokenizer == tokenizer
    corpus = Corpus(
        "own", examples.take(range(200)), examples.take(range(200, 230)), ("bad", "good")
    )
    text = replace(small.CONFIG.text, tokenizer=tokenizer, vocabulary_size=80, ngrams=(40,))
    result = small.train(replace(small.CONFIG, text=text), corpus, tmp_path / "run")
    accuracy = result.test["accuracy"]
    assert accuracy is not None
    assert accuracy > 0.9
    run = lstm_jax.load(tmp_path / "run")
    proof = export_run(run, tmp_path / "out", "onnx")  # raises where ids or probabilities differ
    np.testing.assert_allclose(proof.script, proof.run, atol=1e-4)


def misspelt(count: int) -> Examples:
    """Texts of a few words; one decides the class, and in each two letters are exchanged."""
    rng = np.random.default_rng(0)
    verdicts = ["wonderful", "miserable"]
    labels = np.arange(count, dtype=np.int32) % 2
    texts = []
    for label in labels:
        words = list(rng.choice(["evening", "morning", "picture", "station"], 2))
        words.insert(rng.integers(3), verdicts[label])
        for number, word in enumerate(words):
            first, second = rng.choice(len(word), 2, replace=False)
            letters = list(word)
            letters[first], letters[second] = letters[second], letters[first]
            words[number] = "".join(letters)
        texts.append(" ".join(words))
    return Examples(texts, labels)


def test_characters_classify_misspelt_texts_better_than_words(tmp_path):
    examples = misspelt(260)
    train, test = examples.take(range(160)), examples.take(range(160, 260))
    corpus, accuracy = Corpus("own", train, test, ("good", "bad")), {}
    for tokenizer in ("punctuation", "characters"):
        text = replace(
            small.CONFIG.text,
            tokenizer=tokenizer,
            vocabulary_size=200,
            max_length=40,
            ngrams=(300,),
        )
        config = replace(small.CONFIG, text=text)
        accuracy[tokenizer] = small.train(config, corpus, tmp_path / tokenizer).test["accuracy"]
    assert accuracy["characters"] > accuracy["punctuation"] + 0.1


def test_words_of_pieces_have_a_limit_that_the_rules_state():
    words = RULES["bpe"].pre_tokenizer.pre_tokenize_str("电" * 70 + "a" * 33)
    assert [len(word) for word, _ in words] == [LONGEST, LONGEST, 6, LONGEST, 1]
