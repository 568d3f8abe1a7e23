"""Keras 3, on TensorFlow or on JAX as KERAS_BACKEND says."""

import itertools
from typing import Any

import keras
import numpy as np

from benchmarks.cases import Case, Problem
from benchmarks.data import Data
from benchmarks.worker import Run

QUIET: Any = {"verbose": 0}


def recurrence(case: dict[str, Any], train: bool) -> Run:
    """`keras.layers.LSTM` with sequences out, and `Bidirectional` of it; masked where ragged."""
    size = Case(**case)
    problem = Problem.of(size)
    layer = keras.layers.LSTM(size.hidden, return_sequences=True)
    if size.bidirectional:
        layer = keras.layers.Bidirectional(layer)
    layer.build(problem.inputs.shape)
    weights = problem.weights()
    layer.set_weights([np.asarray(w) for direction in weights for w in direction])
    mask = None
    if problem.lengths is not None:
        mask = np.arange(size.time) < problem.lengths[:, None]
    run = _tensorflow if keras.backend.backend() == "tensorflow" else _jax
    return run(train, problem, layer, mask)


def _tensorflow(train, problem, layer, mask) -> Run:
    import tensorflow as tf

    inputs, cotangent = tf.constant(problem.inputs), tf.constant(problem.cotangent)
    mask = None if mask is None else tf.constant(mask)
    forward = tf.function(lambda: layer(inputs, mask=mask))

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss: Any = tf.reduce_sum(layer(inputs, mask=mask) * cotangent)
        weights = [v.value for v in layer.trainable_variables]
        return tape.gradient(loss, [*weights, inputs])

    gradient = tf.function(gradient)

    if not train:
        return lambda: _outputs(mask, forward().numpy())

    return lambda: _gradients([tf.convert_to_tensor(array).numpy() for array in gradient()])


def _jax(train, problem, layer, mask) -> Run:
    import jax
    import jax.numpy as jnp

    variables = [v.value for v in layer.trainable_variables]
    fixed = [v.value for v in layer.non_trainable_variables]
    inputs, cotangent = jnp.asarray(problem.inputs), jnp.asarray(problem.cotangent)

    def forward(variables, inputs):
        return layer.stateless_call(variables, fixed, inputs, mask=mask)[0]

    def loss(variables, inputs, cotangent):
        return jnp.vdot(forward(variables, inputs), cotangent)

    if not train:
        compiled = jax.jit(forward)
        return lambda: _outputs(mask, jax.block_until_ready(compiled(variables, inputs)))
    gradient = jax.jit(jax.grad(loss, (0, 1)))

    def run():
        d_variables, d_inputs = jax.block_until_ready(gradient(variables, inputs, cotangent))
        return _gradients([*d_variables, d_inputs])

    return run


def _outputs(mask, outputs):
    # With a mask Keras repeats the last output in the padding.
    return {"outputs": outputs} if mask is None else {}


def _gradients(gradients):
    return {
        "d_input_kernel": gradients[0],
        "d_recurrent_kernel": gradients[1],
        "d_inputs": gradients[-1],
    }


def training(folder: str, batch_size: int, steps: int, lengths: bool) -> Run | None:
    """Steps of `model.fit`."""
    if lengths:
        return None
    data = Data.load(folder)
    model = _classifier(data.weights, mask=False)
    model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), "binary_crossentropy")
    order = np.random.default_rng(0).permutation(len(data.train_labels))
    tokens, labels = data.padded(), data.train_labels
    probabilities = model.predict_on_batch(tokens[:64])
    logits = np.log(probabilities) - np.log1p(-probabilities)
    size, position = batch_size * steps, 0

    def run():
        nonlocal position
        chosen = order.take(range(position, position + size), mode="wrap")
        position += size
        model.fit(tokens[chosen], labels[chosen], batch_size=batch_size, **QUIET)
        return {"logits": logits}

    return run


def prediction(folder: str, batch_size: int, by_length: bool = False) -> Run | None:
    """All test reviews by TextVectorization and `model.predict`."""
    if by_length:
        return None
    data = Data.load(folder)
    vectorize, model = _vectorizer(data.words), _classifier(data.weights, mask=True)

    def run():
        tokens = np.asarray(vectorize(data.test_texts))
        return {"probability": model.predict(tokens, batch_size=batch_size, **QUIET)[:, 0]}

    return run


def latency(folder: str) -> Run:
    """One text to its probability, the next one in each call."""
    data = Data.load(folder)
    vectorize, model = _vectorizer(data.words), _classifier(data.weights, mask=True)
    order = itertools.cycle(data.test_texts[:500])

    def run():
        tokens = np.asarray(vectorize([next(order)]))
        return {"probability": model.predict_on_batch(tokens)[:, 0]}

    return run


def _classifier(weights: dict[str, np.ndarray], *, mask: bool) -> keras.Model:
    """The article's model, with the words' ids as `_vectorizer` gives them if masked."""
    embedding = weights["embedding"]
    if mask:
        embedding = embedding[[0, 2, 1, *range(3, len(embedding))]]
    model = keras.Sequential(
        [
            keras.Input([500], dtype="int32"),
            keras.layers.Embedding(*embedding.shape, mask_zero=mask),
            keras.layers.LSTM(weights["recurrent_kernel"].shape[0]),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    names = ("input_kernel", "recurrent_kernel", "bias", "head_kernel", "head_bias")
    model.set_weights([embedding, *(weights[name] for name in names)])
    return model


def _vectorizer(words: list[str]) -> keras.layers.TextVectorization:
    """TextVectorization with the same rules; its id 1 is the unknown word, 2 the start."""
    import tensorflow as tf

    def standardize(texts: Any) -> Any:
        filtered = r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n ]+"""
        texts = tf.strings.lower(texts, encoding="utf-8")
        return tf.strings.join(["<start> ", tf.strings.regex_replace(texts, filtered, " ")])

    return keras.layers.TextVectorization(
        standardize=standardize,  # pyright: ignore[reportArgumentType] - Keras takes any callable
        vocabulary=["<start>", *words[3:]],
        output_sequence_length=500,
    )
