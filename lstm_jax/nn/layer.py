"""A Flax Linen module around the functional LSTM: one layer, one way or both."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax import kernels
from lstm_jax.cell import LSTMParams, LSTMState, init_lstm
from lstm_jax.lstm import Bidirectional, bidirectional_lstm, lstm
from lstm_jax.nn.recurrent_dropout import RecurrentDropout, Zoneout, drop_weights
from lstm_jax.nn.settings import known, one_of
from lstm_jax.recurrence import as_lengths, scan_cell
from lstm_jax.shapes import Encodings, Features, Inputs, Lengths, Outputs
from lstm_jax.variants import VARIANTS, Cell, VariantParams

Direction = Literal["forward", "backward", "bidirectional"]


Merge = Literal["concat", "sum", "mean", "mul"]


MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "concat": lambda forward, backward: jnp.concatenate([forward, backward], axis=-1),
    "sum": jnp.add,
    "mean": lambda forward, backward: (forward + backward) / 2,
    "mul": jnp.multiply,
}


# Whether each direction of a layer reads its steps last to first.
REVERSED: dict[str, tuple[bool, ...]] = {
    "forward": (False,),
    "backward": (True,),
    "bidirectional": (False, True),
}


class Encoding(NamedTuple):
    """What an LSTM layer made of a batch of sequences.

    Attributes:
        parts: the outputs of every step, zero past each length, in parts that stand side by side:
            one a direction if two are merged by "concat", else one. What treats each feature
            alone works on the parts, and spares a copy of all outputs.
        last: the output of the last step read [B, F]; of both directions, merged.
        state: after the last step read: what a layer goes on from. Of both directions a
            `Bidirectional`, of a stack a tuple with one for each layer.
    """

    parts: tuple[Encodings, ...]
    last: Features
    state: Any = None

    @property
    def outputs(self) -> Encodings:
        """The outputs of every step [B, T, F]."""
        return self.parts[0] if len(self.parts) == 1 else jnp.concatenate(self.parts, axis=-1)


class LSTMLayer(nn.Module):
    """One LSTM over a batch of sequences, read forward, backward or both ways.

    Attributes:
        hidden_size: H of each direction.
        direction: which way the sequence is read.
        merge: how the two directions of "bidirectional" become one: "concat" gives F = 2H
            features a step, the others F = H.
        cell: a name in `lstm_jax.variants.VARIANTS`, or any `lstm_jax.variants.Cell`. Only "lstm"
            has fast implementations; the others run by `scan_cell`.
        forget_bias: initial bias of the forget gates of "lstm".
        weight_dropout: probability in [0, 1) that a recurrent weight is dropped in training, for
            all sequences and steps alike.
        recurrent_dropout: probability in [0, 1) that a unit is hidden from the recurrence in
            training, at all steps of a sequence alike; runs by `scan_cell`.
        zoneout: probabilities in [0, 1) that a unit's hidden and cell state stay as they were for a
            step of training; in prediction old and new are mixed so. Runs by `scan_cell`.
        implementation, precision, chunk_size: as for `lstm_jax.lstm`.

    Source: for the three dropouts, see `lstm_jax.nn.recurrent_dropout`.
    """

    hidden_size: int
    direction: Direction = "forward"
    merge: Merge = "concat"
    cell: str | Cell = "lstm"
    forget_bias: float = 1.0
    weight_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout: tuple[float, float] = (0.0, 0.0)
    implementation: str = "auto"
    precision: str | None = None
    chunk_size: int | None = None

    @nn.compact
    def __call__(
        self,
        inputs: Inputs,
        lengths: Lengths | None = None,
        initial_state: Any = None,
        train: bool = False,
    ) -> Encoding:
        """Runs the layer.

        Under `flax.linen.remat`, `train` is given by position and is static:
        `nn.remat(LSTMLayer, static_argnums=4)`.

        Args:
            inputs: [B, T, D].
            lengths: [B]; None if all steps are valid.
            initial_state: the `state` of an earlier encoding, to go on from; None for one that has
                read nothing.
            train: whether to drop out.

        Returns:
            The encoding.

        Raises:
            ValueError: as `lstm_jax.lstm`, or if a setting is unknown, or settings do not go
                together.
        """
        one_of("direction", self.direction, REVERSED)
        one_of("merge", self.merge, MERGES)
        noisy = max(self.weight_dropout, self.recurrent_dropout, *self.zoneout) > 0
        train = noisy and known("train", train)
        reverse = REVERSED[self.direction]
        names = [Bidirectional._fields[each] for each in reverse]
        states = initial_state if len(reverse) == 2 else (initial_state,)
        if initial_state is None:
            states = (None,) * len(reverse)
        params = [self._params(name, inputs.shape[-1]) for name in names]
        if train and self.weight_dropout > 0:
            keys = jax.random.split(self.make_rng("dropout"), len(params))
            rates = [self.weight_dropout] * len(params)
            params = list(map(drop_weights, keys, params, rates))
        if self._by_scan(train):
            directions = zip(params, states, reverse, strict=True)
            results = [self._scan(p, inputs, lengths, s, r, train) for p, s, r in directions]
        else:
            results = self._run(params, inputs, lengths, states)
        last = [
            state.hidden if isinstance(state, LSTMState) else last_output(outputs, lengths, r)
            for r, (outputs, state) in zip(reverse, results, strict=True)
        ]
        outputs, final = zip(*results, strict=True)
        if len(reverse) == 1:
            return Encoding(outputs, last[0], final[0])
        merge = MERGES[self.merge]
        parts = outputs if self.merge == "concat" else (merge(*outputs),)
        return Encoding(parts, merge(*last), Bidirectional(*final))

    @property
    def _cell(self) -> Cell:
        if not isinstance(self.cell, str):
            return self.cell
        if self.cell not in VARIANTS:
            raise ValueError(f"cell must be one of {tuple(VARIANTS)} or a Cell, got {self.cell!r}")
        return VARIANTS[self.cell]

    def _params(self, name: str, features: int) -> Any:
        if self.cell != "lstm":
            return self.param(name, self._cell.init, features, self.hidden_size)

        def init(key: Array) -> dict[str, Array]:
            drawn = init_lstm(key, features, self.hidden_size, forget_bias=self.forget_bias)
            return drawn._asdict()

        return LSTMParams(**self.param(name, init))

    def check(self) -> None:
        """Raises a ValueError if the settings do not go together, or cannot run on this machine."""
        if not self._by_scan(train=True):
            kernels.check(self.implementation, precision=self.precision)

    def _by_scan(self, train: bool) -> bool:
        """Whether the settings need `scan_cell`, if they go together at all."""
        zoneout, dropout = max(self.zoneout) > 0, self.recurrent_dropout > 0
        if zoneout and dropout:
            raise ValueError(
                "recurrent_dropout and zoneout must not both be above 0, got "
                f"{self.recurrent_dropout} and {self.zoneout}"
            )
        if not needs_scan(self.cell, self.zoneout, self.recurrent_dropout):
            return False
        if self.implementation not in ("auto", "scan") or self.precision is not None:
            raise ValueError(
                'implementation must be "auto" or "scan" and precision None with another cell than '
                f'"lstm", recurrent_dropout or zoneout, got {self.implementation!r} and '
                f"{self.precision!r}"
            )
        return self.cell != "lstm" or zoneout or train

    def _run(self, params: Any, inputs: Inputs, lengths: Any, states: Any) -> list[Any]:
        """Outputs and final state of each direction, by the fastest implementation."""
        how: Any = {
            "lengths": lengths,
            "implementation": self.implementation,
            "precision": self.precision,
            "chunk_size": self.chunk_size,
        }
        if len(params) == 2:
            both, states = Bidirectional(*params), Bidirectional(*states)
            found = bidirectional_lstm(both, inputs, initial_state=states, **how)
            return list(zip(*found, strict=True))
        reverse = self.direction == "backward"
        return [lstm(params[0], inputs, initial_state=states[0], reverse=reverse, **how)]

    def _scan(
        self, params: Any, inputs: Inputs, lengths: Any, state: Any, reverse: bool, train: bool
    ) -> tuple[Outputs, Any]:
        """Outputs and final state of one direction, of any cell and with noise in its state."""
        cell: Any = self._cell
        if self.cell == "lstm":
            params = VariantParams(*params)
        if state is None:
            state = cell.initial_state(params, len(inputs))
        if max(self.zoneout) > 0:
            cell = Zoneout(cell, *self.zoneout)
        elif train and self.recurrent_dropout > 0:
            cell = RecurrentDropout(cell, self.recurrent_dropout)
        noisy = train and cell is not self._cell
        if noisy:
            state = cell.with_noise(self.make_rng("dropout"), state)
        outputs, state = scan_cell(
            cell,
            params,
            inputs,
            state,
            lengths=lengths,
            reverse=reverse,
            chunk_size=self.chunk_size,
        )
        return outputs, state.state if noisy else state


def needs_scan(cell: Any, zoneout: tuple[float, float], recurrent_dropout: float) -> bool:
    """Whether a layer of these settings runs by plain `scan_cell`, in training at least."""
    return cell != "lstm" or max(*zoneout, recurrent_dropout) > 0


def last_output(outputs: Outputs, lengths: Lengths | None, reverse: bool) -> Features:
    """The output of the last step read [B, H]; zeros where there is none."""
    padded = jnp.pad(outputs, ((0, 0), (1, 0), (0, 0)))
    lengths = jnp.full(len(outputs), outputs.shape[1]) if lengths is None else as_lengths(lengths)
    at = jnp.minimum(lengths, 1) if reverse else lengths
    return jnp.take_along_axis(padded, at[:, None, None], axis=1)[:, 0]
