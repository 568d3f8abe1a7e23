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

from lstm_jax.run import Run
from lstm_jax.shapes import Lengths, Tokens

PLATFORMS = ("cpu", "cuda", "tpu")


def classifier_to_stablehlo(run: Run) -> bytes:
    """A trained run as a serialised program.

    Args:
        run: any run.

    Returns:
        What `jax.export.deserialize` takes; JAX promises to read it for at least six months.
    """
    config = run.config.model
    # No call of our compiled kernel, which is not where the program goes.
    plain = config.cell == "lstm" and max(config.zoneout) == 0
    config = replace(
        config,
        implementation="xla" if plain else "scan",
        chunk_size=None,  # saves memory in training only
        recurrent_dropout=0.0,
    )
    model, params = run.model.clone(config=config), jax.device_get(run.params)

    @jax.jit
    def probabilities(tokens: Tokens, lengths: Lengths) -> Array:
        logits: Any = model.apply({"params": params}, tokens, lengths)
        logits = logits / run.temperature
        if model.outputs == 1:
            return jax.nn.sigmoid(jnp.concatenate([-logits, logits], axis=-1))
        return jax.nn.softmax(logits, axis=-1)

    B, T = export.symbolic_shape("B, T")
    tokens = jax.ShapeDtypeStruct((B, T), jnp.int32)
    lengths = jax.ShapeDtypeStruct((B,), jnp.int32)
    exported = export.export(probabilities, platforms=PLATFORMS)(tokens, lengths)
    return bytes(exported.serialize())
