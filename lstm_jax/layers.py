"""Flax Linen modules around the functional LSTM: embedding, LSTM layer, stack, pooling.

Each takes `lengths` and treats steps past a length as absent.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import LSTMParams, init_lstm
from lstm_jax.lstm import Bidirectional, bidirectional_lstm, lstm
from lstm_jax.recurrence import valid_steps, where_valid
from lstm_jax.shapes import Embeddings, Encodings, Features, Inputs, Lengths, Tokens
from lstm_jax.text.phrases import Phrases

Direction = Literal["forward", "backward", "bidirectional"]
Merge = Literal["concat", "sum", "mean", "mul"]
Pooling = Literal["last", "max", "mean", "max_mean", "attention"]

MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "concat": lambda forward, backward: jnp.concatenate([forward, backward], axis=-1),
    "sum": jnp.add,
    "mean": lambda forward, backward: (forward + backward) / 2,
    "mul": jnp.multiply,
}


class Encoding(NamedTuple):
    """What an LSTM layer made of a batch of sequences.

    Attributes:
        parts: the outputs of every step, zero past each length, in parts that stand side by side:
            one a direction if two are merged by "concat", else one. What treats each feature
            alone works on the parts, and spares a copy of all outputs.
        last: after the last step read [B, F]; of both directions, merged.
    """

    parts: tuple[Encodings, ...]
    last: Features

    @property
    def outputs(self) -> Encodings:
        """The outputs of every step [B, T, F]."""
        return self.parts[0] if len(self.parts) == 1 else jnp.concatenate(self.parts, axis=-1)


class Dropout(nn.Module):
    """Zeroes features at random in training, and scales up the others: their mean stays.

    It needs a byte for each feature, where `flax.linen.Dropout` draws four and, with JAX's default
    generator, throws four away: on a CPU that was a tenth of a training step.

    Attributes:
        rate: probability in [0, 1) that a feature is zeroed, to the nearest 256th.
        shared: axes along which features are zeroed together.
    """

    rate: float
    shared: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool) -> Array:
        """Features of any shape; the same shape."""
        dropped = min(round(self.rate * 256), 255)
        if not train or dropped == 0:
            return inputs
        shape = list(inputs.shape)
        for axis in self.shared:
            shape[axis] = 1
        *others, features = shape
        words = jax.random.bits(self.make_rng("dropout"), (*others, -(-features // 4)), jnp.uint32)
        drawn = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*others, -1)[..., :features]
        return jnp.where(drawn >= dropped, inputs * (256 / (256 - dropped)), 0)


class TokenEmbedding(nn.Module):
    """A vector for each token id, with whole tokens and single features dropped in training.

    Where a known phrase ends, its vector is added to that of its last token.

    Attributes:
        vocabulary_size: V, the number of ids.
        features: E.
        scale: the initial vectors are uniform in (-scale, scale); Keras's default is 0.05.
        token_dropout: probability in [0, 1) that a token's whole vector is zeroed.
        feature_dropout: probability in [0, 1) that one number of it is.
        variational: one draw of numbers for all tokens of a sequence, instead of one for each.
        phrases: those that have vectors of their own, if any do.
        phrase_dropout: probability in [0, 1) that a phrase's vector is not added.

    Source: for `variational`, Gal & Ghahramani (2016), "A Theoretically Grounded Application of
        Dropout in Recurrent Neural Networks", section 4.
    """

    vocabulary_size: int
    features: int
    scale: float = 0.05
    token_dropout: float = 0.0
    feature_dropout: float = 0.0
    variational: bool = False
    phrases: Phrases | None = None
    phrase_dropout: float = 0.0

    @nn.compact
    def __call__(self, tokens: Tokens, *, train: bool = False) -> Embeddings:
        """Ids [B, T] to vectors [B, T, E]."""

        def uniform(key: Array, shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(key, shape, minval=-self.scale, maxval=self.scale)

        table = self.param("table", uniform, (self.vocabulary_size, self.features))
        embeddings = jnp.take(table, tokens, axis=0, mode="clip")
        embeddings = Dropout(self.token_dropout, (-1,))(embeddings, train=train)
        if self.phrases is not None:
            for length, numbers in enumerate(self.phrases.numbers(tokens, jnp), 2):
                count = len(self.phrases.codes[length - 2])
                vectors = self.param(f"phrases_of_{length}", uniform, (count, self.features))
                # Beyond the last number there are zeros: no phrase, no vector.
                added = jnp.take(vectors, numbers, axis=0, mode="fill", fill_value=0)
                embeddings += Dropout(self.phrase_dropout, (-1,))(added, train=train)
        shared = (1,) if self.variational else ()
        return Dropout(self.feature_dropout, shared)(embeddings, train=train)


class LSTMLayer(nn.Module):
    """One LSTM over a batch of sequences, read forward, backward or both ways.

    Attributes:
        hidden_size: H of each direction.
        direction: which way the sequence is read.
        merge: how the two directions of "bidirectional" become one: "concat" gives F = 2H
            features a step, the others F = H.
        forget_bias: initial bias of the forget gates.
        implementation, chunk_size: as for `lstm_jax.lstm`.
    """

    hidden_size: int
    direction: Direction = "forward"
    merge: Merge = "concat"
    forget_bias: float = 1.0
    implementation: str = "auto"
    chunk_size: int | None = None

    @nn.compact
    def __call__(self, inputs: Inputs, lengths: Lengths | None = None) -> Encoding:
        def params(name: str) -> LSTMParams:
            def init(key: Array) -> dict[str, Array]:
                features = inputs.shape[-1]
                drawn = init_lstm(key, features, self.hidden_size, forget_bias=self.forget_bias)
                return drawn._asdict()

            return LSTMParams(**self.param(name, init))

        how: Any = {
            "lengths": lengths,
            "implementation": self.implementation,
            "chunk_size": self.chunk_size,
        }
        if self.direction != "bidirectional":
            reverse = self.direction == "backward"
            outputs, state = lstm(params(self.direction), inputs, reverse=reverse, **how)
            return Encoding((outputs,), state.hidden)
        both = Bidirectional(params("forward"), params("backward"))
        outputs, states = bidirectional_lstm(both, inputs, **how)
        merge = MERGES[self.merge]
        last = merge(states.forward.hidden, states.backward.hidden)
        if self.merge == "concat":
            return Encoding((outputs.forward, outputs.backward), last)
        return Encoding((merge(outputs.forward, outputs.backward),), last)


class LSTMStack(nn.Module):
    """LSTM layers, each reading the outputs of the one below.

    Attributes:
        layers: how many, at least 1.
        dropout: probability in [0, 1) that a feature between two layers is dropped in training.
        hidden_size, direction, merge, forget_bias, implementation, chunk_size: as for `LSTMLayer`.
    """

    layers: int
    hidden_size: int
    direction: Direction = "forward"
    merge: Merge = "concat"
    dropout: float = 0.0
    forget_bias: float = 1.0
    implementation: str = "auto"
    chunk_size: int | None = None

    @nn.compact
    def __call__(
        self, inputs: Inputs, lengths: Lengths | None = None, *, train: bool = False
    ) -> Encoding:
        encoding = Encoding((inputs,), inputs[:, -1])
        for layer in range(self.layers):
            inputs = encoding.outputs
            if layer > 0:
                inputs = Dropout(self.dropout)(inputs, train=train)
            encoding = LSTMLayer(
                self.hidden_size,
                self.direction,
                self.merge,
                self.forget_bias,
                self.implementation,
                self.chunk_size,
                name=f"layer_{layer}",
            )(inputs, lengths)
        return encoding


def max_over_time(outputs: Encodings, valid: Array) -> Features:
    """The largest value of each feature over the valid steps [B, T]; zeros where there is none."""
    lowest = jnp.full_like(outputs, jnp.finfo(outputs.dtype).min)
    largest = where_valid(valid, outputs, lowest).max(axis=1, initial=jnp.finfo(outputs.dtype).min)
    return where_valid(valid.any(axis=1), largest, jnp.zeros_like(largest))


def mean_over_time(outputs: Encodings, valid: Array) -> Features:
    """The mean of each feature over the valid steps [B, T]; zeros where there is none."""
    total = where_valid(valid, outputs, jnp.zeros_like(outputs)).sum(axis=1)
    return total / jnp.maximum(valid.sum(axis=1), 1)[:, None]


POOLS: dict[str, tuple[Callable[[Encodings, Array], Features], ...]] = {
    "max": (max_over_time,),
    "mean": (mean_over_time,),
    "max_mean": (max_over_time, mean_over_time),
}


class Pool(nn.Module):
    """A sequence's encodings as one vector; padding never counts.

    "last" takes the state after the last step read; "max" and "mean" go over the valid steps, and
    "max_mean" puts both side by side; "attention" is the mean weighted by softmax(v · tanh(W y_t)).
    A sequence of length 0 pools to zeros.

    Source: for "attention", Yang et al. (2016), eqs. 5 to 7.
    """

    pooling: Pooling

    @nn.compact
    def __call__(self, encoding: Encoding, lengths: Lengths) -> Features:
        if self.pooling == "last":
            return encoding.last
        valid = valid_steps(lengths, encoding.parts[0].shape[1])
        if self.pooling in POOLS:
            pools = POOLS[self.pooling]
            pooled = [pool(part, valid) for pool in pools for part in encoding.parts]
            return jnp.concatenate(pooled, axis=-1)
        outputs = encoding.outputs
        keys = jnp.tanh(nn.Dense(outputs.shape[-1], name="keys")(outputs))
        scores = nn.Dense(1, use_bias=False, name="query")(keys)[..., 0]
        # An all-masked row gives uniform weights, which outputs of zero turn into zeros.
        weights = jax.nn.softmax(jnp.where(valid, scores, jnp.finfo(scores.dtype).min), axis=1)
        return jnp.einsum("bt,btf->bf", weights, outputs)
