"""What `train` chooses: by the size and the kind of the data, and never what is given."""

from dataclasses import replace

import numpy as np
import pytest
import small

from lstm_jax.data import Corpus, Examples, generate_reviews
from lstm_jax.recipes.defaults import choose_settings
from lstm_jax.train.config import Config, TrainConfig


def of(texts: list[str], classes: int = 2) -> Corpus:
    labels = np.arange(len(texts), dtype=np.int32) % classes
    return Corpus("made up", Examples(texts, labels), None, tuple(map(str, range(classes))))


def reviews(count: int, classes: int = 2) -> Corpus:
    some, _ = generate_reviews(100, seed=0)
    return of([f"{some[number % 100]} {number}" for number in range(count)], classes)


NAMES = of(
    [name + str(number) for name in ("Anna", "Otto", "Mira", "Karl") for number in range(50)]
)
CHINESE = of([f"这部电影很好看我喜欢{number}" for number in range(200)])


@pytest.mark.parametrize(
    ("corpus", "tokenizer", "lengths"),
    [(reviews(200), "punctuation", 1), (NAMES, "characters", 4), (CHINESE, "bpe", 2)],
    ids=["reviews", "names", "Chinese"],
)
def test_the_kind_of_texts_decides_what_is_read_of_them(corpus, tokenizer, lengths):
    config, reasons = choose_settings(corpus, Config())
    assert config.text.tokenizer == tokenizer
    assert len(config.text.ngrams) == lengths
    assert (config.train.adversarial == 0) == (tokenizer == "characters")
    assert reasons[0].startswith("Reads ")


def test_more_examples_get_fewer_epochs_and_a_smaller_part_for_validation():
    chosen = [
        choose_settings(reviews(count), Config()).config.train for count in (100, 3_000, 60_000)
    ]
    epochs = [train.epochs for train in chosen]
    parts = [train.validation_fraction for train in chosen]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] > epochs[1] > epochs[2] >= 3
    assert parts[0] > parts[1] > parts[2] >= 0.02
    assert chosen[0].batch_size < chosen[2].batch_size


def test_more_classes_get_more_epochs():
    few, many = (choose_settings(reviews(4_000, classes), Config()).config for classes in (2, 50))
    assert many.train.epochs > few.train.epochs


def test_the_learning_rate_rises_for_a_tenth_of_a_short_run():
    few, many = (choose_settings(reviews(count), Config()).config for count in (40, 4_000))
    assert few.optimizer.warmup_steps == 3
    assert many.optimizer.warmup_steps == 50
    one = replace(Config(), train=TrainConfig(epochs=1))
    assert choose_settings(reviews(40), one, ("train.epochs",)).config.optimizer.warmup_steps == 0


def test_a_linear_model_of_too_many_weights_is_left_out():
    assert choose_settings(reviews(2_000, 100), Config()).config.model.linear
    assert not choose_settings(reviews(2_000, 1_000), Config()).config.model.linear


def test_no_text_of_a_sample_is_cut_unless_it_is_very_long():
    texts = ["word " * 40] * 99 + ["word " * 60]
    assert 60 < choose_settings(of(texts), Config()).config.text.max_length < 120
    assert choose_settings(of(["word " * 3_000] * 9), Config()).config.text.max_length == 500


def test_what_is_given_is_never_chosen():
    given = small.CONFIG
    names = ("text.max_length", "model.hidden_size", "train.epochs", "optimizer.schedule")
    config = choose_settings(reviews(200), given, names).config
    for name in names:
        part, field = name.split(".")
        assert getattr(getattr(config, part), field) == getattr(getattr(given, part), field)
    assert config.train.batch_size != given.train.batch_size
    assert (config.name, config.seed) == (given.name, given.seed)


def test_a_run_to_start_from_gives_its_words_and_sizes():
    start = replace(small.CONFIG, text=replace(small.CONFIG.text, tokenizer="keras"))
    config, reasons = choose_settings(reviews(200), Config(), start=start)
    assert config.text == start.text
    assert config.model.hidden_size == start.model.hidden_size
    assert "the run to start from" in reasons[0]
