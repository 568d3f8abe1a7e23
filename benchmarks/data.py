"""The real reviews and one set of weights, in a folder that every peer's process reads."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.imdb.article import CONFIG as ARTICLE
from lstm_jax.data import load_corpus
from lstm_jax.text import WordTokenizer
from lstm_jax.train.config import Config

# The article's model with the length of each text, instead of zeros in front that it reads.
# Cut at the back, because Keras's TextVectorization can do nothing else.
WITH_LENGTHS: Config = replace(
    ARTICLE,
    name="article with lengths",
    text=replace(ARTICLE.text, truncate="back", pad="back"),
    train=replace(ARTICLE.train, buckets=8),
)


class Data(NamedTuple):
    """What is in the folder."""

    train_ids: list[np.ndarray]
    train_labels: np.ndarray
    test_texts: list[str]
    words: list[str]  # by id
    tokenizer: Path
    weights: dict[str, np.ndarray]

    @classmethod
    def load(cls, folder: str) -> "Data":
        """Reads what `prepare` wrote."""
        path = Path(folder)
        with np.load(path / "train.npz") as train:
            ids = np.split(train["ids"], train["ends"][:-1])
            labels = train["labels"]
        with np.load(path / "weights.npz") as weights:
            arrays = dict(weights)
        tokenizer = WordTokenizer.load(path / "tokenizer.json")
        return cls(
            ids,
            labels,
            json.loads((path / "test.json").read_text(encoding="utf-8")),
            tokenizer.words(range(tokenizer.vocabulary_size)),
            path / "tokenizer.json",
            arrays,
        )

    def padded(self) -> np.ndarray:
        """The training reviews as the article has them: int32 [N, 500], zeros in front."""
        rows = np.zeros((len(self.train_ids), ARTICLE.text.max_length), np.int32)
        for row, ids in zip(rows, self.train_ids, strict=True):
            ids = ids[-len(row) :]
            row[len(row) - len(ids) :] = ids
        return rows


def prepare(folder: str, data: str) -> None:
    """Reads the corpus, makes the vocabulary and draws the weights."""
    path, corpus = Path(folder), load_corpus(data)
    assert corpus.test is not None
    tokenizer = WordTokenizer.train(
        corpus.train.texts,
        preset=ARTICLE.text.tokenizer,
        vocabulary_size=ARTICLE.text.vocabulary_size,
    )
    tokenizer.save(path / "tokenizer.json")
    ids = tokenizer.encode_batch(corpus.train.texts)
    np.savez(
        path / "train.npz",
        ids=np.concatenate(ids),
        ends=np.cumsum([len(row) for row in ids]),
        labels=corpus.train.labels,
    )
    (path / "test.json").write_text(json.dumps(corpus.test.texts), encoding="utf-8")
    rng = np.random.default_rng(0)
    model, vocabulary = ARTICLE.model, tokenizer.vocabulary_size
    features, hidden = model.embedding_size, model.hidden_size
    bias = np.zeros(4 * hidden)
    bias[hidden : 2 * hidden] = 1
    weights = {
        "embedding": rng.uniform(-0.5, 0.5, (vocabulary, features)),
        "input_kernel": rng.normal(0, features**-0.5, (features, 4 * hidden)),
        "recurrent_kernel": rng.normal(0, hidden**-0.5, (hidden, 4 * hidden)),
        "bias": bias,
        "head_kernel": rng.normal(0, 1, (hidden, 1)),
        "head_bias": np.zeros(1),
    }
    np.savez(path / "weights.npz", **{n: w.astype(np.float32) for n, w in weights.items()})
