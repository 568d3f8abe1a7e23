"""The classifier as one StableHLO program for CPU, GPU and TPU; whoever has JAX can run it.

    tokens [B, T] int32, lengths [B] int32 -> probabilities [B, classes] float32

B and T are free; a length may be anything from 0 to T. The parameters and the temperature are
constants of the program.

Source: https://docs.jax.dev/en/latest/export/export.html.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, export

from lstm_jax.predictor import Predictor

PLATFORMS = ("cpu", "cuda", "tpu")


def classifier_to_stablehlo(run: Predictor) -> bytes:
    """A trained run as a serialised program.

    Args:
        run: any run.

    Returns:
        What `jax.export.deserialize` takes; JAX promises to read it for at least six months.
    """
    config = run.config.model
    config = replace(
        config,
        # "auto" would call our compiled kernel, which is not where the program goes.
        implementation="xla" if config.cell == "lstm" else "scan",
        chunk_size=None,  # only training knows it
    )
    model, params = run.model.clone(config=config), jax.device_get(run.params)

    def probabilities(tokens: Array, length: Array) -> Array:
        """Of one text, tokens [T]: no cell then asks for the size of a batch, which is free."""
        logits: Any = model.apply({"params": params}, tokens[None], length[None])
        logits = logits[0] / run.temperature
        if model.outputs == 1:
            return jax.nn.sigmoid(jnp.concatenate([-logits, logits]))
        return jax.nn.softmax(logits)

    B, T = export.symbolic_shape("B, T")
    tokens = jax.ShapeDtypeStruct((B, T), jnp.int32)
    lengths = jax.ShapeDtypeStruct((B,), jnp.int32)
    exported = export.export(jax.jit(jax.vmap(probabilities)), platforms=PLATFORMS)(tokens, lengths)
    return bytes(exported.serialize())
