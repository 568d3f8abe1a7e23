"""The classifier as an ONNX model, in the standard's own operators: embed | encode | pool | logits.

    tokens [B, T] int32, lengths [B] int32 -> probabilities [B, classes] float32

B and T are free; a length may be anything from 0 to T. Within, time comes first, [T, B, F], as
ONNX's LSTM has it. All that a prediction needs is in the file but the tokenizer: n-grams, the
temperature, the names of the classes and how texts are cut.

Source: https://onnx.ai/onnx/operators.
"""

import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import onnx
from onnx import TensorProto

from lstm_jax.interop.onnx_graph import Graph, Steps, dense, encode, pool, probabilities
from lstm_jax.interop.onnx_lstm import has_operator
from lstm_jax.predictor import Predictor
from lstm_jax.text import PADDING, NGrams
from lstm_jax.variants import VARIANTS


def classifier_to_onnx(run: Predictor) -> onnx.ModelProto:
    """A trained run as an ONNX model, checked.

    Args:
        run: any run but those whose cells ONNX's LSTM does not have.

    Returns:
        The model. Its metadata are `class_names` (a JSON list), `max_length`, `truncate` and `pad`.

    Raises:
        ValueError: if the run has layer normalisation.
    """
    config, text = run.config.model, run.config.text
    possible = [name for name, cell in VARIANTS.items() if has_operator(cell)]
    if config.cell not in possible:
        raise ValueError(
            f"cell must be one of {', '.join(possible)} in an ONNX model, got {config.cell!r}, "
            f"{VARIANTS[config.cell]}; a StableHLO program may have any"
        )
    params: Any = jax.device_get(run.params)
    graph = Graph()
    tokens = graph("Transpose", "tokens", perm=[1, 0])
    steps = Steps(graph, "tokens")
    ngrams = _ngram_ids(graph.part("ngrams"), run.model.ngrams, tokens)
    embeddings = _embed(graph.part("embed"), params["embedding"], ngrams, tokens)
    outputs, last = encode(graph.part("encode"), params["stack"], config, embeddings)
    features = pool(graph.part("pool"), params, config, outputs, last, steps)
    logits = dense(graph.part("logits"), params["head"], features)
    if config.linear:
        linear = _linear(graph.part("linear"), params["linear"], [tokens, *ngrams], steps)
        logits = graph("Add", logits, linear)
    probabilities(graph.part("probabilities"), logits, run.temperature, run.model.outputs)
    described = {
        "class_names": json.dumps(run.class_names),
        "max_length": str(text.max_length),
        "truncate": text.truncate,
        "pad": text.pad,
    }
    inputs = {"tokens": (TensorProto.INT32, ["B", "T"]), "lengths": (TensorProto.INT32, ["B"])}
    outputs = {"probabilities": (TensorProto.FLOAT, ["B", len(run.class_names)])}
    return graph.model("classifier", inputs, outputs, described)


def _ngram_ids(graph: Graph, ngrams: NGrams | None, token_ids: str) -> list[str]:
    """The ids of the n-grams that end at each token, [T, B] for each length.

    They are those of `NGrams.ids`. A LabelEncoder is a table from keys to ids: 0.2 ms for 128 texts
    of 400 tokens and 30,000 n-grams, where a binary search in plain operators took 25 (2 cores,
    onnxruntime 1.32).
    """
    ids: list[str] = []
    if ngrams is None:
        return ids
    tokens = first = graph("Cast", token_ids, to=TensorProto.INT64)
    none = PADDING
    for keys in ngrams.keys:
        one_later = graph("Pad", first, np.array([1, 0, -1, 0]), np.int64(none))
        key = graph("Add", graph("Mul", one_later, np.int64(ngrams.vocabulary_size)), tokens)
        none = len(keys)
        first = graph(
            "LabelEncoder",
            key,
            domain="ai.onnx.ml",
            keys_int64s=keys.tolist(),
            values_int64s=list(range(none)),
            default_int64=none,
        )
        ids.append(first)
    return ids


def _embed(graph: Graph, params: Any, ngrams: Sequence[str], tokens: str) -> str:
    """Tokens [T, B] to embeddings [T, B, E], with those of the n-grams that end there added."""
    embeddings = graph("Gather", params["table"], tokens)
    for length, ids in enumerate(ngrams, 2):
        vectors = _with_zeros(params[f"ngrams_of_{length}"])
        embeddings = graph("Add", embeddings, graph("Gather", vectors, ids))
    return embeddings


def _linear(graph: Graph, params: Any, ids_of: Sequence[str], steps: Steps) -> str:
    """Tokens [T, B] to the logits [B, C] of `lstm_jax.nn.linear.LinearNGrams`."""
    sums = []
    for name in ("weights", "squares"):
        total = ""
        for length, ids in enumerate(ids_of, 1):
            table = params[f"{name}_of_{length}"]
            table = _with_zeros(table.reshape(len(table), -1))
            rows = graph("Where", steps.valid, graph("Gather", table, ids), np.float32(0))
            summed = graph("ReduceSum", rows, np.array([0]), keepdims=0)
            total = graph("Add", total, summed) if total else summed
        sums.append(total)
    weighted, squares = sums
    some = graph("Greater", squares, np.float32(0))
    length = graph("Sqrt", graph("Where", some, squares, np.float32(1)))
    return graph("Add", graph("Div", weighted, length), params["bias"])


def _with_zeros(table: Any) -> Any:
    """A table with a row of zeros behind its last, for no n-gram."""
    return np.pad(table, ((0, 1), (0, 0)))
