"""The loops of `lstm_jax.kernels.tpu`, in Pallas: one call forward in time and one backward.

A call has a grid of tiles of the batch and chunks of the time. The kernels stay in the TPU's vector
memory (VMEM) from the first chunk to the last, and so does the state: it is a result whose block
is the same for all chunks of a tile. While a chunk is computed, the next one is read.

Arrays have time first, batches of whole sublanes (8) and units of whole lanes (128), which is how a
TPU stores them. Backward reading takes the chunks, and the steps of each, last to first; nothing is
flipped. Where T is no multiple of the chunk, the last chunk has steps past every length: what is
read there is anything, and the mask of the lengths keeps it out of states and results.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from lstm_jax.cell import GATES, LSTMParams, LSTMState, activate_gates, show_cell, update_cell
from lstm_jax.kernels.gradients import product, through_step, where_step
from lstm_jax.kernels.tpu_sizes import LANES, ROWS, How, whole
from lstm_jax.recurrence import where_valid

# Steps in the body of a loop: so many, unless their gates are more than these, because a large
# product is as many instructions itself.
UNROLL, UNROLLED_GATES = 4, 8192
# Bytes of the vector memory: what a kernel may take at most of the 128 MiB of a TPU v5e or v6e, and
# what its chunks are to take, in which the cost of beginning a chunk no longer shows.
VMEM, CHUNKS = 100 << 20, 16 << 20
STEPS = 32  # of a chunk, at most
# Tiles of a batch may be computed in any order, chunks may not.
SEMANTICS = ("parallel", "arbitrary")


def forward(
    how: How, params: LSTMParams, inputs: Array, lengths: Array, state: LSTMState, *, keep: bool
) -> tuple[Array, LSTMState, tuple[Array, ...]]:
    """The loop forward in time.

    Args:
        how: see `How`.
        params: of the direction; the kernels in bfloat16 if they are to be rounded.
        inputs: [T, B, D].
        lengths: [B, 1], between 0 and T.
        state: to begin with, [B, H] each.
        keep: what `backward` needs.

    Returns:
        Outputs [T, B, H], the final state, and if they are kept the preactivations of the gates
        [T, B, 4H] and the cell state before each step [T, B, H].
    """
    kernels = params.input_kernel, params.recurrent_kernel, params.bias[None]
    features, hidden = inputs.shape[-1], state.hidden.shape[-1]
    call = _Call(inputs.shape, kernels, width=features + 6 * hidden, turned=how.reverse)
    kept = [call.of_steps(4 * hidden), call.of_steps(hidden)]
    projected = pltpu.VMEM((call.chunk, call.rows, 4 * hidden), jnp.float32)
    results = call(
        partial(_forward_kernel, how, keep),
        [lengths, inputs, *kernels, *state],
        [
            *(call.of_sequences(1), call.of_steps(features), *map(call.whole, kernels)),
            *[call.of_sequences(hidden)] * 2,
        ],
        [call.of_steps(hidden), *[call.of_sequences(hidden)] * 2, *(kept if keep else [])],
        scratch=[] if keep else [projected],
    )
    return results[0], LSTMState(*results[1:3]), tuple(results[3:])


def backward(
    how: How,
    transposed: Array,
    lengths: Array,
    kept: tuple[Array, ...],
    d_outputs: Array,
    d_state: LSTMState,
) -> tuple[Array, LSTMState]:
    """The loop backward in time.

    Args:
        how: see `How`.
        transposed: the recurrent kernel [4H, H]; in bfloat16 if it is to be rounded.
        lengths: [B, 1].
        kept: what `forward` returned.
        d_outputs: the gradient at the outputs [T, B, H].
        d_state: and at the final state.

    Returns:
        The gradients at the preactivations [T, B, 4H] and at the initial state.
    """
    hidden = d_outputs.shape[-1]
    call = _Call(d_outputs.shape, [transposed], width=10 * hidden, turned=not how.reverse)
    state = [call.of_sequences(hidden)] * 2
    dz, *d_initial_state = call(
        partial(_backward_kernel, how),
        [lengths, transposed, *kept, d_outputs, *d_state],
        [
            *(call.of_sequences(1), call.whole(transposed)),
            *(call.of_steps(4 * hidden), call.of_steps(hidden), call.of_steps(hidden), *state),
        ],
        [call.of_steps(4 * hidden), *state],
    )
    return dz, LSTMState(*d_initial_state)


# ------------------------------------------------------------------------------------------------
# What a chunk computes
# ------------------------------------------------------------------------------------------------


def _forward_kernel(how: How, keep: bool, *refs: Any) -> None:
    """A chunk: the projection of its inputs by one product, then its steps."""
    lengths, inputs, input_kernel, recurrent_kernel, bias, *states = refs[:7]
    outputs, *final_states, z = refs[7:11]
    initial_state, final_state = LSTMState(*states), LSTMState(*final_states)
    steps, rows, features = inputs.shape
    _begin(final_state, initial_state)
    x = inputs[...].reshape(steps * rows, features)
    projected = product(how.rounded, x, input_kernel[...]) + bias[...]
    z[...] = projected.reshape(z.shape)

    def step(n: Array, valid: Array, state: LSTMState) -> LSTMState:
        z_of_step = z[n] + product(how.rounded, state.hidden, recurrent_kernel[...])
        i, f, g, o = activate_gates(z_of_step)
        new_cell = update_cell(state.cell, input=i, forget=f, candidate=g)
        new_hidden = show_cell(new_cell, o)
        outputs[n] = where_step(valid, new_hidden)
        if keep:
            z[n] = z_of_step
            refs[11][n] = state.cell
        return _where(valid, LSTMState(hidden=new_hidden, cell=new_cell), state)

    _run_steps(step, final_state, lengths[...], steps, turned=how.reverse)


def _backward_kernel(how: How, *refs: Any) -> None:
    """A chunk: its steps, of which only one product with the recurrent kernel waits for the next.

    The kernels' gradients are products over all steps at once, behind the loop.
    """
    lengths, transposed, z, cells, d_outputs, d_hidden, d_cell, dz, *d_initial = refs
    d_state = LSTMState(*d_initial)
    _begin(d_state, LSTMState(d_hidden, d_cell))

    def times_kernel(dz: Array) -> Array:
        return product(how.rounded, dz, transposed[...])

    def step(n: Array, valid: Array, d_state: LSTMState) -> LSTMState:
        gates, cell_before = activate_gates(z[n]), cells[n]
        cell = update_cell(
            cell_before, input=gates.input, forget=gates.forget, candidate=gates.candidate
        )
        before, dz[n] = through_step(
            gates, cell_before, jnp.tanh(cell), valid, d_state, d_outputs[n], times_kernel
        )
        return before

    _run_steps(step, d_state, lengths[...], z.shape[0], turned=not how.reverse)


def _begin(state: LSTMState, initial: LSTMState) -> None:
    """Sets the state of a tile ahead of its first chunk."""

    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        for array, value in zip(state, initial, strict=True):
            array[...] = value[...]


def _run_steps(
    step: Callable[[Array, Array, LSTMState], LSTMState],
    state: LSTMState,
    lengths: Array,
    count: int,
    *,
    turned: bool,
) -> None:
    """The steps of a chunk, one after the other.

    Args:
        step: `(its place in the chunk, which sequences have it, state) -> state`.
        state: the references that it stands in between chunks.
        lengths: of the tile [B, 1].
        count: steps of the chunk.
        turned: last step first.
    """
    chunk = _chunk(pl.program_id(1), pl.num_programs(1), turned)

    def run(k: Array, values: LSTMState) -> LSTMState:
        n = count - 1 - k if turned else k
        return step(n, chunk * count + n < lengths, values)

    values = LSTMState(*(array[...] for array in state))
    body = min(unroll(values.cell.shape[-1]), count)
    values = jax.lax.fori_loop(0, count, run, values, unroll=body)
    for array, value in zip(state, values, strict=True):
        array[...] = value


def unroll(hidden: int) -> int:
    """Steps in the body of a loop, for as many hidden units."""
    return max(1, min(UNROLL, UNROLLED_GATES // (len(GATES) * hidden)))


def _where(valid: Array, new: LSTMState, old: LSTMState) -> LSTMState:
    return jax.tree.map(partial(where_valid, valid), new, old)


# ------------------------------------------------------------------------------------------------
# The calls
# ------------------------------------------------------------------------------------------------


def _chunk(k: Any, count: Any, turned: bool) -> Any:
    """Which chunk the k-th of a loop is."""
    return count - 1 - k if turned else k


class _Block(NamedTuple):
    """An array, and which part of it a tile and a chunk see."""

    shape: tuple[int, ...]
    spec: Any


class _Call:
    """A call over arrays with time first, and how it is divided.

    Args:
        shape: of an array of steps [T, B, ...], B a multiple of 8.
        kernels: the matrices that stay in the vector memory.
        width: of all that a chunk reads and writes, a sequence and a step.
        turned: the chunks last to first.

    Raises:
        ValueError: if that memory is too small.
    """

    def __init__(
        self, shape: tuple[int, ...], kernels: Sequence[Array], *, width: int, turned: bool
    ) -> None:
        self.time, self.batch, _ = shape
        self.turned = turned
        self.rows = self.batch // pl.cdiv(self.batch, ROWS)
        gates = max(kernels[-1].shape)
        # Two buffers for each block, one of which is filled while the other is in use; and what a
        # product of a whole chunk is before it is stored.
        a_step = self.rows * (2 * whole(width, LANES) + gates) * 4
        held = sum(kernel.size * kernel.dtype.itemsize for kernel in kernels)
        held += 8 * self.rows * gates * 4  # states, and what is computed of a step
        self.chunk = max(1, min(self.time, STEPS, CHUNKS // a_step))
        self.vmem_bytes = held + self.chunk * a_step
        if self.vmem_bytes > VMEM:
            raise ValueError(
                f"inputs and hidden units must fit in a TPU's vector memory, {VMEM >> 20} MiB of "
                f"it, got {self.vmem_bytes >> 20} MiB with {gates // len(GATES)} hidden units"
            )
        self.vmem_bytes = max(self.vmem_bytes, 16 << 20)  # what a kernel has unless it asks
        self.chunks = pl.cdiv(self.time, self.chunk)

    def of_steps(self, width: int) -> _Block:
        """[T, B, width]: a chunk of a tile."""

        def place(tile: Any, k: Any) -> Any:
            return _chunk(k, self.chunks, self.turned), tile, 0

        spec = pl.BlockSpec((self.chunk, self.rows, width), place)
        return _Block((self.time, self.batch, width), spec)

    def of_sequences(self, width: int) -> _Block:
        """[B, width]: a tile, the same one for all its chunks."""
        spec = pl.BlockSpec((self.rows, width), lambda tile, _: (tile, 0))
        return _Block((self.batch, width), spec)

    def whole(self, array: Array) -> _Block:
        """A matrix, all of it and once, because it never changes."""
        once = pl.Buffered(1)
        spec = pl.BlockSpec(array.shape, lambda *_: (0, 0), pipeline_mode=once)
        return _Block(array.shape, spec)

    def __call__(
        self,
        kernel: Any,
        operands: list[Array],
        blocks: list[_Block],
        results: list[_Block],
        scratch: Any = (),
    ) -> list[Array]:
        """Runs a kernel over all tiles and chunks."""
        run = pl.pallas_call(
            kernel,
            name=f"lstm{kernel.func.__name__}",
            grid=(self.batch // self.rows, self.chunks),
            in_specs=[block.spec for block in blocks],
            out_specs=[block.spec for block in results],
            out_shape=[shape_like(operands[0], block.shape) for block in results],
            scratch_shapes=scratch,
            compiler_params=pltpu.CompilerParams(
                dimension_semantics=SEMANTICS,
                vmem_limit_bytes=self.vmem_bytes,
            ),
        )
        return run(*operands)


def shape_like(array: Array, shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    """A result in float32 that varies over the same axes of a `jax.shard_map` as an array."""
    kind: Any = jax.typeof(array)
    name = "manual_axis_type" if hasattr(kind, "manual_axis_type") else "vma"
    varying: Any = {name: getattr(kind, name)}
    return jax.ShapeDtypeStruct(shape, jnp.float32, **varying)
