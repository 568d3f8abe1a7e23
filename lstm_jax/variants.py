"""LSTM cells in which some of the equations of `lstm_jax.cell` are changed.

For inputs x_t [B, D], hidden state h [B, R] and cell state c [B, H], σ, φ and ψ the activations of
gates, candidate and cell, and R = H unless the output is projected:

    i = σ(x_t W_i + h_{t-1} U_i + p_i ∘ c_{t-1} + b_i)     peepholes: p_i, p_f and p_o
    f = σ(x_t W_f + h_{t-1} U_f + p_f ∘ c_{t-1} + b_f)     coupled: f = 1 - i instead
    g = φ(x_t W_g + h_{t-1} U_g + b_g)
    c_t = f ∘ c_{t-1} + i ∘ g                              clipped to [-clip_cell, clip_cell]
    o = σ(x_t W_o + h_{t-1} U_o + p_o ∘ c_t + b_o)         which sees the new cell state
    h_t = (o ∘ ψ(c_t)) P                                   projected: P

and with layer normalisation LN(a x_t W) + LN(a' h_{t-1} U) take the place of the two products, each
over all its gates, and ψ(LN(c_t)) that of ψ(c_t).

Source: peepholes, Gers & Schmidhuber (2000), "Recurrent Nets that Time and Count", eqs. 3 to 8;
coupled gates, Greff et al. (2017), "LSTM: A Search Space Odyssey", section 3 (CIFG); projection and
cell clipping, Sak, Senior & Beaufays (2014), eqs. 1 to 7; layer normalisation, Ba, Kiros & Hinton
(2016), eqs. 20 to 22.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import (
    GATES,
    LSTMGates,
    LSTMState,
    init_lstm,
    per_feature,
    show_cell,
    update_cell,
)
from lstm_jax.shapes import StepInputs, StepState

Activation = Callable[[Array], Array]


class Cell(Protocol):
    """What `lstm_jax.nn.layer` can run over time; `Variant` is one, and a user's own may be."""

    def init(self, key: Array, features: int, hidden_size: int) -> Any:
        """The parameters for D inputs, as NamedTuples or dicts of arrays."""
        ...

    def initial_state(self, params: Any, batch_size: int) -> Any:
        """The state that has read nothing: a pytree of arrays [B, ...]."""
        ...

    def __call__(self, params: Any, state: Any, inputs: StepInputs) -> tuple[Any, Array]:
        """The state after a step, and its output [B, R]."""
        ...


class Normalisation(NamedTuple):
    """The learned scales of layer normalisation; those of the products have no shift: b is one."""

    input_scale: Array  # [4H]
    recurrent_scale: Array  # [4H]
    cell_scale: Array  # [H]
    cell_shift: Array  # [H]


class VariantParams(NamedTuple):
    """The weights of one direction; what a variant does not have is None.

    Gates stand in the order i, f, g, o, or i, g, o if coupled; 4H is 3H then.
    """

    input_kernel: Array  # [D, 4H]
    recurrent_kernel: Array  # [R, 4H]
    bias: Array | None = None  # [4H]
    peepholes: Array | None = None  # [3, H]: of i, f and o; [2, H], of i and o, if coupled
    projection: Array | None = None  # [H, R]
    normalisation: Normalisation | None = None


@dataclass(frozen=True)
class Variant:
    """A cell with the equations above; with no argument it is the LSTM of `lstm_jax.cell`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from lstm_jax import Variant, scan_cell
        >>> cell = Variant(peepholes=True, clip_cell=3.0)
        >>> params = cell.init(jax.random.key(0), features=3, hidden_size=4)
        >>> inputs, state = jnp.ones((2, 5, 3)), cell.initial_state(params, batch_size=2)
        >>> outputs, state = scan_cell(cell, params, inputs, state, lengths=jnp.array([5, 2]))
        >>> outputs.shape
        (2, 5, 4)

    Attributes:
        peepholes: whether gates see the cell state.
        coupled: whether a cell forgets exactly as much as it writes.
        bias: whether there is one.
        normalise: whether there is layer normalisation.
        projection_size: R, the width of the projected output; None for no projection.
        gate_activation, candidate_activation, cell_activation: σ, φ and ψ.
        clip_cell: the largest magnitude of the cell state; None for any.
        clip_gates: that of what enters σ and φ; None for any.
        forget_bias: the forget gate's initial bias.
    """

    peepholes: bool = False
    coupled: bool = False
    bias: bool = True
    normalise: bool = False
    projection_size: int | None = None
    gate_activation: Activation = jax.nn.sigmoid
    candidate_activation: Activation = jnp.tanh
    cell_activation: Activation = jnp.tanh
    clip_cell: float | None = None
    clip_gates: float | None = None
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        """Checks the sizes."""
        for name in ("clip_cell", "clip_gates", "projection_size"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, or None, got {value}")

    def __repr__(self) -> str:
        """What is not as in the LSTM of `lstm_jax.cell`; functions by their names."""
        values = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        shown = (f"{name}={getattr(value, '__name__', value)}" for name, value in values.items())
        return f"Variant({', '.join(shown)})"

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates that have weights, in their order."""
        return tuple(gate for gate in GATES if not (self.coupled and gate == "forget"))

    def init(
        self,
        key: Array,
        features: int,
        hidden_size: int,
        *,
        dtype: jax.typing.DTypeLike = jnp.float32,
    ) -> VariantParams:
        """Draws the weights of one direction, those that the LSTM has too as `init_lstm` does.

        Peepholes start at zero, scales at one, the projection is Glorot uniform, and the recurrent
        kernel of a projected cell is the product of the projection's transpose with an orthogonal
        one, so that it sees of each unit what the projection shows.

        Args:
            key: random key.
            features: D, at least 1.
            hidden_size: H, at least 1.
            dtype: floating type of the weights.

        Returns:
            `VariantParams`.

        Raises:
            ValueError: if a size is below 1.
        """
        lstm_key, projection_key = jax.random.split(key)
        whole = init_lstm(
            lstm_key, features, hidden_size, forget_bias=self.forget_bias, dtype=dtype
        )
        own = jnp.array([GATES.index(gate) for gate in self.gates])
        input_kernel, recurrent_kernel, bias = (
            array.reshape(*array.shape[:-1], len(GATES), hidden_size)[..., own, :].reshape(
                *array.shape[:-1], -1
            )
            for array in whole
        )
        params = VariantParams(input_kernel, recurrent_kernel, bias if self.bias else None)
        if self.peepholes:
            params = params._replace(peepholes=jnp.zeros((len(own) - 1, hidden_size), dtype))
        if self.projection_size is not None:
            glorot = jax.nn.initializers.glorot_uniform()
            projection = glorot(projection_key, (hidden_size, self.projection_size), dtype)
            params = params._replace(
                projection=projection, recurrent_kernel=projection.T @ recurrent_kernel
            )
        if self.normalise:
            of_gates = jnp.ones(len(own) * hidden_size, dtype)
            of_cell = jnp.ones(hidden_size, dtype)
            params = params._replace(
                normalisation=Normalisation(of_gates, of_gates, of_cell, jnp.zeros_like(of_cell))
            )
        return params

    def initial_state(self, params: VariantParams, batch_size: int) -> LSTMState:
        """The state of a cell that has read nothing: zeros, hidden [B, R] and cell [B, H]."""
        output_size, gates_size = params.recurrent_kernel.shape
        dtype = params.recurrent_kernel.dtype
        return LSTMState(
            hidden=jnp.zeros((batch_size, output_size), dtype),
            cell=jnp.zeros((batch_size, gates_size // len(self.gates)), dtype),
        )

    def __call__(
        self, params: VariantParams, state: LSTMState, inputs: StepInputs
    ) -> tuple[LSTMState, StepState]:
        """One step, by the module's equations.

        Args:
            params: weights of the direction.
            state: hidden [B, R] and cell state [B, H] before the step.
            inputs: x_t [B, D].

        Returns:
            The state after the step, and its output [B, R], which is its hidden state.

        Raises:
            ValueError: if the parameters are not those of such a cell, or sizes do not fit.
        """
        _, after = self.step(params, state, inputs)
        return after, after.hidden

    def step(
        self, params: VariantParams, state: LSTMState, inputs: StepInputs
    ) -> tuple[LSTMGates, LSTMState]:
        """One step with its gates, each [B, H], and the state after it; else as the call."""
        self._check(params, state, inputs)
        norm = params.normalisation
        from_inputs = inputs @ params.input_kernel
        from_hidden = state.hidden @ params.recurrent_kernel
        if norm is not None:
            from_inputs = per_feature(norm.input_scale, inputs) * _normalised(from_inputs)
            from_hidden = per_feature(norm.recurrent_scale, inputs) * _normalised(from_hidden)
        z = from_inputs + from_hidden
        if params.bias is not None:
            z += per_feature(params.bias, z)
        by_gate = dict(zip(self.gates, jnp.split(z, len(self.gates), axis=-1), strict=True))
        peepholes = {}
        if params.peepholes is not None:
            seeing = [gate for gate in self.gates if gate != "candidate"]
            peepholes = dict(zip(seeing, params.peepholes, strict=True))

        def gate(name: str, cell: StepState) -> StepState:
            seen = per_feature(peepholes[name], cell) * cell if peepholes else 0
            return self.gate_activation(_clipped(by_gate[name] + seen, self.clip_gates))

        i = gate("input", state.cell)
        f = 1 - i if self.coupled else gate("forget", state.cell)
        g = self.candidate_activation(_clipped(by_gate["candidate"], self.clip_gates))
        cell = _clipped(update_cell(state.cell, input=i, forget=f, candidate=g), self.clip_cell)
        o = gate("output", cell)
        shown = cell
        if norm is not None:
            shown = per_feature(norm.cell_scale, cell) * _normalised(cell)
            shown += per_feature(norm.cell_shift, cell)
        hidden = show_cell(shown, o, self.cell_activation)
        if params.projection is not None:
            hidden = hidden @ params.projection
        gates = LSTMGates(input=i, forget=f, candidate=g, output=o)
        return gates, LSTMState(hidden=hidden, cell=cell)

    def _check(self, params: VariantParams, state: LSTMState, inputs: StepInputs) -> None:
        wanted = {
            "bias": self.bias,
            "peepholes": self.peepholes,
            "projection": self.projection_size is not None,
            "normalisation": self.normalise,
        }
        for name, there in wanted.items():
            if (getattr(params, name) is not None) != there:
                came, allowed = ("None", "an array") if there else ("an array", "None")
                raise ValueError(f"params.{name} must be {allowed} for {self}, got {came}")
        H = state.cell.shape[-1]
        R = self.projection_size or H
        G = len(self.gates) * H
        shapes = {
            "inputs": (inputs, (len(inputs), params.input_kernel.shape[0])),
            "state.hidden": (state.hidden, (len(inputs), R)),
            "params.input_kernel": (params.input_kernel, (params.input_kernel.shape[0], G)),
            "params.recurrent_kernel": (params.recurrent_kernel, (R, G)),
            "params.bias": (params.bias, (G,)),
            "params.peepholes": (params.peepholes, (len(self.gates) - 1, H)),
            "params.projection": (params.projection, (H, R)),
        }
        for name, (array, shape) in shapes.items():
            if array is not None and array.shape != shape:
                raise ValueError(
                    f"{name} must have shape {shape} ({len(self.gates)} gates of H = {H}, "
                    f"outputs of R = {R}), got {array.shape}"
                )


def _normalised(features: Array) -> Array:
    """Zero mean and unit variance over the last axis."""
    centred = features - features.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


def _clipped(array: Array, largest: float | None) -> Array:
    return array if largest is None else jnp.clip(array, -largest, largest)


# Those that need no number to be named.
VARIANTS: dict[str, Variant] = {
    "lstm": Variant(),
    "peephole": Variant(peepholes=True),
    "coupled": Variant(coupled=True),
    "layer_norm": Variant(normalise=True),
    "no_bias": Variant(bias=False),
}
