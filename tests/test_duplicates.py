"""Near duplicates: what counts as one."""

import numpy as np

from lstm_jax.data.duplicates import near_duplicates

WORDS = [f"w{number}" for number in range(40)]


def test_capitals_punctuation_and_one_word_make_no_difference():
    text = " ".join(WORDS)
    one_word = " ".join([*WORDS[:3], "other", *WORDS[4:]])
    shuffled = " ".join(np.random.default_rng(0).permutation(WORDS))
    texts = [text.upper() + "!", one_word, " ".join(WORDS[20:]), shuffled, "", "w1 w2"]
    found = near_duplicates(texts, ["something else", text])
    assert found.tolist() == [True, True, True, False, False, False]


def test_half_of_a_text_is_the_bound():
    others = [" ".join(WORDS)]
    half = " ".join([*WORDS[:15], *(f"new{number}" for number in range(8))])  # 8 of 16 runs
    less = " ".join([*WORDS[:14], *(f"new{number}" for number in range(9))])  # 7 of 16
    assert near_duplicates([half, less], others).tolist() == [True, False]


def test_the_parts_of_a_text_may_stand_in_several():
    parts = [" ".join(WORDS[:20]), " ".join(WORDS[20:])]
    assert near_duplicates([" ".join(WORDS)], parts).tolist() == [True]


def test_short_texts_are_compared_whole():
    assert near_duplicates(["Very good.", "good"], ["very good"]).tolist() == [True, False]


def test_there_may_be_no_others():
    assert near_duplicates(["a b c"], []).tolist() == [False]
