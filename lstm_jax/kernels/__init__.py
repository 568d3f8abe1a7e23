"""Implementations of one contract: a whole LSTM recurrence.

    run(params, inputs, lengths, initial_state, *, reverse, precision) -> (outputs, final_state)

    params          LSTMParams: kernels [D, 4H], [H, 4H], bias [4H]; gates in the order i, f, g, o
    inputs          [B, T, D], anything at and past each length
    lengths         [B] int32, 0 <= lengths <= T
    initial_state   LSTMState: hidden and cell [B, H]
    reverse         read the valid steps last to first
    precision       None, or "bfloat16" to round what enters the products of float32 arrays
    outputs         [B, T, H], each at its own position, zero at and past each length
    final_state     LSTMState after the last step read; the initial state where the length is 0

All arrays but `lengths` have one floating dtype, which the results share. B and T may be 0. Every
implementation is differentiable in reverse mode with respect to `params`, `inputs` and
`initial_state`, and works under `jit` and `vmap`. `lstm_jax.lstm` checks what users pass and calls
`run` below, which takes one or two directions of reading, as tuples; the same tests run on each
implementation (`tests/test_lstm.py`).
"""

from functools import partial

import jax
import jax.numpy as jnp

from lstm_jax.cell import LSTMParams, LSTMState
from lstm_jax.kernels import cpu, gpu, scan, tpu, xla
from lstm_jax.shapes import Inputs, Lengths, Outputs

Results = tuple[tuple[Outputs, LSTMState], ...]


# In the order of preference of `implementation="auto"`, which never takes "tpu".
IMPLEMENTATIONS = {
    "cpu": cpu.run,
    "gpu": gpu.run,
    "xla": xla.run,
    "tpu": tpu.run,
    "scan": scan.run,
}


def implementations() -> dict[str, str]:
    """What `implementation` may be beside "auto": name to "available", or to why it is not."""
    reasons = {"cpu": cpu.UNAVAILABLE, "gpu": gpu.unavailable(), "tpu": tpu.unavailable()}
    return {name: reasons.get(name) or "available" for name in IMPLEMENTATIONS}


def check(
    implementation: str,
    dtype: jax.typing.DTypeLike = jnp.float32,
    precision: str | None = None,
    hidden_size: int = 1,
) -> None:
    """Raises a ValueError if a request cannot be met on this machine, saying why."""
    if implementation not in ("auto", *IMPLEMENTATIONS):
        raise ValueError(
            f"implementation must be one of {('auto', *IMPLEMENTATIONS)}, got {implementation!r}"
        )
    if precision not in (None, "bfloat16"):
        raise ValueError(f'precision must be None or "bfloat16", got {precision!r}')
    if precision and dtype != jnp.float32:
        raise ValueError(
            f'arrays must be float32 with precision="bfloat16", got {jnp.dtype(dtype)}'
        )
    on_cpu, reason = jax.default_backend() == "cpu", ""
    if implementation == "cpu" or (implementation == "auto" and precision and on_cpu):
        reason = cpu.unsupported(jnp.dtype(dtype), precision)
    elif implementation == "gpu":
        reason = gpu.unsupported(jnp.dtype(dtype), hidden_size, precision)
    elif implementation == "tpu":
        reason = tpu.unsupported(jnp.dtype(dtype))
    elif implementation == "scan" and precision:
        reason = "it computes in the dtype of its arrays, and precision must be None"
    if reason:
        raise ValueError(f"implementation={implementation!r} cannot run: {reason}")


def fastest_precision(implementation: str) -> str | None:
    """What makes it fastest here: "bfloat16", or None where that is refused or gains nothing."""
    by_xla = implementation == "xla" or cpu.unsupported(jnp.dtype(jnp.float32), "bfloat16")
    if implementation == "scan" or (by_xla and jax.default_backend() == "cpu"):
        return None
    return "bfloat16"


def run(
    implementation: str,
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: str | None = None,
) -> Results:
    """The contract above for each direction, by one implementation, or "auto".

    "auto" is decided for the platform that a program is lowered for and not for the one that it is
    traced on: "cpu" or "gpu" there if it was compiled and can compute such a layer, else "xla".
    """
    options = {"reverse": reverse, "precision": precision}
    operands = (params, inputs, lengths, initial_states)
    if implementation != "auto":
        return IMPLEMENTATIONS[implementation](*operands, **options)
    reasons = {
        "cpu": cpu.unsupported(inputs.dtype, precision),
        "cuda": gpu.cannot_compute(inputs.dtype, params[0].hidden_size, precision),
    }
    names = {"cpu": "cpu", "cuda": "gpu"}
    chosen = {
        platform: partial(IMPLEMENTATIONS[names[platform]], **options)
        for platform, reason in reasons.items()
        if not reason
    }
    default = partial(IMPLEMENTATIONS["xla"], **options)
    if not chosen:
        return default(*operands)
    return jax.lax.platform_dependent(*operands, default=default, **chosen)
