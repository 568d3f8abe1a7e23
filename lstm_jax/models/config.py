"""The architecture of what is trained, as a frozen dataclass."""

from typing import Literal

from lstm_jax.checked import Number, Positive, Probability, Size, checked
from lstm_jax.nn.layer import Direction, Merge
from lstm_jax.nn.pooling import Pooling


@checked
class ModelConfig:
    """The classifier's architecture; sizes that the data decides are not in it."""

    embedding_size: Size = 100
    """E, features of one token's vector."""
    embedding_scale: Positive = 0.05
    """Initial vectors are uniform between minus and plus this."""
    hidden_size: Size = 100
    """H, hidden units of each direction."""
    layers: Size = 1
    """LSTM layers, each reading the outputs of the one below."""
    cell: Literal["lstm", "peephole", "coupled", "layer_norm", "no_bias"] = "lstm"
    """Which LSTM; all but the first run by plain scan."""
    direction: Direction = "bidirectional"
    """Which way the text is read."""
    merge: Merge = "concat"
    """How the two directions' outputs become one."""
    pooling: Pooling = "max_mean"
    """How the outputs of all words become one vector."""
    token_dropout: Probability = 0.0
    """Probability that a whole word's vector is zeroed in training."""
    embedding_dropout: Probability = 0.0
    """Probability that one number of a word's vector is zeroed in training."""
    ngram_dropout: Probability = 0.0
    """Probability that an n-gram's vector is not added in training."""
    layer_dropout: Probability = 0.0
    """Probability that a feature between two LSTM layers is zeroed in training."""
    output_dropout: Probability = 0.0
    """Probability that a feature before the last, dense layer is zeroed in training."""
    linear: bool = False
    """Whether a linear model of the tokens and n-grams (TF-IDF, logistic regression) is fitted too,
    and its logits added, with the weights that fit the validation part best."""
    forget_bias: Number = 1.0
    """Initial bias of the forget gates."""
    implementation: str = "auto"
    """Which implementation of the LSTM runs: auto, or one of lstm_jax.implementations()."""
    precision: Literal["bfloat16", "auto"] | None = None
    """bfloat16 rounds what enters the LSTM's products; None does not. auto does where it is faster:
    on GPUs, TPUs and processors with AVX512-BF16, but not by plain scan."""
    chunk_size: Size | None = None
    """For long texts, steps between two states kept for the backward pass: less memory for about a
    third more time."""
