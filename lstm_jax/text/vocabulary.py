"""Which tokens have ids: the most frequent words, characters or pieces of the training texts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer, models, trainers

from lstm_jax.text.rules import Rules

SPECIAL_WORDS = ("<pad>", "<start>", "<unk>")
_UNKNOWN = SPECIAL_WORDS[2]

# A piece of more characters is a phrase that a corpus repeats, and no word.
_LONGEST_PIECE = 16
# Pairs are counted in texts of about so many characters, which takes some 15 seconds; 20,000 pieces
# that are found in more are hardly other ones.
_PAIRS = 1_000_000


def empty_model(rules: Rules) -> models.Model:
    """The model of a tokenizer that knows no token."""
    return (models.BPE if rules.pieces else models.WordLevel)(unk_token=_UNKNOWN)


def train_model(rules: Rules, chunks: Iterable[Sequence[str]], size: int) -> models.Model | None:
    """Finds the vocabulary of some texts.

    Args:
        rules: how a text is cut.
        chunks: lists of texts.
        size: the largest number of ids, the special ones included.

    Returns:
        The model of a tokenizer: the special ids first, then the most frequent tokens, equally
        frequent ones in alphabetical order; None if the texts have no token.
    """
    if rules.pieces:
        return _pieces(rules, list(chunks), size)
    if rules.cut_ascii and rules.cut_other:
        # Counted here, in a tenth of the time that the library takes for single characters.
        counts: Counter[str] = Counter()
        for chunk in chunks:
            for text in chunk:
                counts.update(rules.cut_ascii(text) if text.isascii() else rules.cut_other(text))
        vocabulary = _numbered(counts, size)
    else:
        trained = _trained(rules, empty_model(rules))
        trainer = trainers.WordLevelTrainer(
            vocab_size=size,
            min_frequency=0,
            special_tokens=list(SPECIAL_WORDS),
            show_progress=False,
        )
        trained.train_from_iterator(chunks, trainer)
        vocabulary = trained.get_vocab()
    # A model of its own: the trainer registers the special words with its tokenizer, which would
    # then turn a literal "<pad>" in a text into id 0.
    known = len(vocabulary) > len(SPECIAL_WORDS)
    return models.WordLevel(vocabulary, unk_token=_UNKNOWN) if known else None


def _pieces(rules: Rules, chunks: Sequence[Sequence[str]], size: int) -> models.BPE | None:
    """Byte-pair encoding: the pair of pieces that is most frequent becomes one, again and again."""
    seen: Counter[str] = Counter()
    for chunk in chunks:
        for text in chunk:
            seen.update(rules.normalizer.normalize_str(text))
    # What stands between words is in no word.
    letters = {c: count for c, count in seen.items() if rules.pre_tokenizer.pre_tokenize_str(c)}
    if not letters:
        return None
    # Chosen here: of equally frequent ones the trainer would drop any.
    alphabet = list(_numbered(letters, size))[len(SPECIAL_WORDS) :]
    trained = _trained(rules, empty_model(rules))
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=list(SPECIAL_WORDS),
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        max_token_length=_LONGEST_PIECE,
        show_progress=False,
    )
    step = -(-seen.total() // _PAIRS)
    trained.train_from_iterator((chunk[::step] for chunk in chunks), trainer)
    found = json.loads(trained.to_str())["model"]
    merges = [(first, second) for first, second in found["merges"]]
    # The trainer numbers pieces in the order in which it finds them.
    plain = _trained(rules, models.BPE(found["vocab"], merges, unk_token=_UNKNOWN))
    times = np.zeros(len(found["vocab"]), np.int64)
    for chunk in chunks:
        for encoding in plain.encode_batch_fast(chunk):
            times += np.bincount(encoding.ids, minlength=len(times))
    counts = {piece: int(times[index]) for piece, index in found["vocab"].items()}
    for word in SPECIAL_WORDS:
        del counts[word]
    return models.BPE(_numbered(counts, size), merges, unk_token=_UNKNOWN)


def _trained(rules: Rules, model: models.Model) -> Tokenizer:
    """A tokenizer without a start id, to count with."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = rules.normalizer  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.pre_tokenizer = rules.pre_tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    return tokenizer


def _numbered(counts: dict[str, int], size: int) -> dict[str, int]:
    """Ids for the special words and the most frequent tokens, at most `size`."""
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    return {token: index for index, token in enumerate([*SPECIAL_WORDS, *ranked][:size])}
