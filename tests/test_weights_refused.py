"""Weights that are not what a conversion takes: refused, by name, with what came."""

import re

import jax
import numpy as np
import pytest

from lstm_jax import Bidirectional, init_lstm
from lstm_jax.interop import (
    from_flax,
    from_keras,
    from_torch,
    stack_layers,
    stack_params,
    to_flax,
    to_keras,
    to_torch,
)
from lstm_jax.variants import Variant

ONE = init_lstm(jax.random.key(0), 3, 5)
SAME = init_lstm(jax.random.key(0), 5, 5)
BOTH = Bidirectional(SAME, SAME)
TORCH_ARRAYS = to_torch((ONE, SAME))


def changed(name, change):
    """PyTorch's arrays with one changed."""
    return {**TORCH_ARRAYS, name: change(TORCH_ARRAYS[name])}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_torch({}), r"one of \[\], got ''"),
        (lambda: from_torch(to_torch((ONE,), "a."), "b."), r"one of \['a.'\], got 'b.'"),
        (
            lambda: from_torch({n: a for n, a in TORCH_ARRAYS.items() if n != "weight_hh_l1"}),
            r"missing: \['weight_hh_l1'\], not allowed: \[\]",
        ),
        (
            lambda: from_torch({**TORCH_ARRAYS, "head.weight": 1.0}),
            r"missing: \[\], not allowed: \['head.weight'\]",
        ),
        (
            lambda: from_torch(changed("weight_hh_l0", np.transpose)),
            r"weight_hh_l0 of a PyTorch LSTM must have shape \(4H, H\) with D = 3, H = 5, "
            r"got \(5, 20\)",
        ),
        (lambda: from_torch(changed("bias_ih_l1", lambda a: a[:, None])), r"got \(20, 1\)"),
        (lambda: from_torch(changed("weight_ih_l0", lambda a: a[:-1])), r"got \(19, 3\)"),
        (lambda: to_torch(()), "at least one layer"),
        (lambda: to_torch(ONE), "tuple of at least one layer, got LSTMParams"),  # pyright: ignore[reportArgumentType]
        (lambda: to_torch(BOTH), "tuple of at least one layer, got Bidirectional"),
        (lambda: to_torch((BOTH, SAME)), "weight_ih_l1_reverse"),
        (lambda: to_torch((SAME, ONE)), r"weight_ih_l1 .* got \(20, 3\)"),
        (lambda: to_torch((ONE._replace(bias=ONE.bias[1:]),)), r"bias .* got \(19,\)"),
        (
            lambda: to_torch((Variant(peepholes=True).init(jax.random.key(0), 3, 5),)),
            r"not allowed: \['peepholes'\]",
        ),
        (
            lambda: to_torch((Variant(coupled=True).init(jax.random.key(0), 3, 5),)),
            r"VariantParams must have shape",
        ),
        (lambda: from_keras(list(ONE)[:1]), "2 or 3 arrays .* got 1"),
        (lambda: from_keras([*ONE, *ONE[:2]]), "4 or 6 .* got 5"),
        (
            lambda: from_keras([*ONE, *SAME]),
            r"directions of a Bidirectional LSTM have the same shapes, "
            r"got \[\(3, 20\), .* and \[\(5, 20\), .*; give layers that are stacked one by one$",
        ),
        (lambda: from_keras([*ONE[:2], *SAME[:2]]), r"got \[\(3, 20\), .* and \[\(5, 20\), "),
        (lambda: from_keras([*ONE[:2]] * 3), "have the same shapes"),
        (lambda: from_keras([ONE[1], ONE[0], ONE[2]]), "recurrent_kernel of a Keras LSTM"),
        (lambda: to_keras(ONE, bias=False), "bias=False needs a bias of zeros, got .* 1.0"),
        (lambda: to_keras((ONE,)), "must be LSTMParams or a Bidirectional of two, got tuple"),  # pyright: ignore[reportArgumentType]
        (
            lambda: to_keras(Variant(projection_size=2).init(jax.random.key(0), 3, 5)),
            "must be LSTMParams .* got VariantParams",
        ),
        (lambda: from_flax({"cell": {"ii": to_flax(ONE)["ii"]}}), "missing: .*'hf/bias'"),
        (lambda: from_flax({"GRUCell_0": to_flax(ONE)}), "not allowed: .*'GRUCell_0/hf/bias'"),
        (lambda: from_flax({**to_flax(ONE), "if": to_flax(SAME)["if"]}), r"if/kernel .*\(5, 5\)"),
        (lambda: stack_params(ONE), "got LSTMParams"),  # pyright: ignore[reportArgumentType]
        (lambda: stack_params((ONE, list(ONE))), "must be LSTMParams or VariantParams .* got list"),  # pyright: ignore[reportArgumentType]
        (
            lambda: stack_layers(
                {"layer_0": {"forward": Variant(peepholes=True).init(jax.random.key(0), 3, 5)}}
            ),
            r"not allowed: \['peepholes'\]",
        ),
        (lambda: stack_layers({"layer_1": {"forward": ONE._asdict()}}), r"got \['layer_1'\]"),
        (lambda: stack_layers({"layer_0": {"backward": ONE._asdict()}}), r"got \['backward'\]"),
        (
            lambda: stack_layers({"layer_0": {"forward": {"bias": ONE.bias}}}),
            "layer_0.forward must have the arrays",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        call()


@pytest.mark.parametrize("hidden_size", [4, 5])
def test_a_gru_or_a_plain_rnn_of_pytorch_is_refused(hidden_size):
    torch = pytest.importorskip("torch")
    for kind in (torch.nn.GRU, torch.nn.RNN):
        with pytest.raises(ValueError, match="must have shape"):
            from_torch(kind(3, hidden_size).state_dict())
