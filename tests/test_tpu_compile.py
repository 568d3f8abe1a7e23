"""What a TPU is to run, compiled on any machine."""

import json
from pathlib import Path

import pytest

from benchmarks.gpu_kernels import Shape
from benchmarks.tpu_kernels import (
    CHIPS,
    LISTED,
    bodies,
    compiled,
    fusions_in_loops,
    in_a_new_process,
    unavailable,
)

RECORD = Path(__file__).parents[1] / "benchmarks" / "results" / "tpu_kernels.json"

PROGRAM = """HloModule jit_f

%body.1.sunk (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p = (s32[], f32[4]{0}) parameter(0)
  %add.1 = s32[]{:T(128)} add(%p, %p)
  %fusion.7 = f32[4]{0} fusion(%p), kind=kLoop, calls=%fused
  %fusion.8 = f32[4]{0} fusion(%fusion.7), kind=kOutput, calls=%fused
  ROOT %tuple.1 = (s32[], f32[4]{0}) tuple(%add.1, %fusion.8)
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %fusion.9 = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused
  %while.1 = (s32[], f32[4]{0}) while(%fusion.9), condition=%c, body=%body.1.sunk, metadata={}
  ROOT %out = f32[4]{0} get-tuple-element(%while.1), index=1
}
"""
LISTING = """     0   :  { %s1 = inlined_call_operand.vmem [shape: s32[64,1]] }
  0x1e   : > { %418 = sbr.rel (%p10) target = $region48 }
  0x1f LB: >> { %v1 = vld [vmem:[#allocation3] sm:$0xff] }
  0x20   : >> { %v2 = vadd.f32 %v1, %v1 }
  0x21   : > { %p27 = scmp.ge.s32.totalorder %s30, 20 }
  0x22   : >> { %v3 = vld [vmem:[#allocation3] sm:$0xff] }
"""
# Under the transforms that change a kernel's grid, or how its arrays lie.
TRANSFORMED = """
import json
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P, SingleDeviceSharding
from lstm_jax import LSTMParams, LSTMState, lstm
from lstm_jax.kernels import tpu

tpu.unavailable = str  # nothing runs here
mesh = Mesh(np.array(topologies.get_topology_desc("v5e:2x2", "tpu").devices), "d")

def array(*shape, spec=P("d"), dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))

params = LSTMParams(*(array(*shape, spec=P()) for shape in ((3, 28), (7, 28), (28,))))
inputs, lengths, state = array(32, 9, 3), array(32, dtype=jnp.int32), [array(32, 7)] * 2

def gradient(params, inputs, lengths, state, **options):
    def loss(params, inputs, state):
        options_of_all = {"initial_state": state, "implementation": "tpu", **options}
        outputs, final = lstm(params, inputs, lengths=lengths, **options_of_all)
        return (outputs**2).sum() + final.cell.sum()
    return jax.grad(loss, (0, 1, 2))(params, inputs, LSTMState(*state))

def in_chunks(*arguments):
    return gradient(*arguments, chunk_size=4)

def vmapped(params, inputs, lengths, state):
    return jax.vmap(gradient, (None, 0, None, None))(params, inputs, lengths, state)

def calls(function, *arguments):
    text = jax.jit(function).lower(*arguments).compile().as_text()
    return text.count('custom_call_target="tpu_custom_call"')

found = {}
for function in (gradient, in_chunks):
    specs = P(), P("d"), P("d"), P("d")
    split = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=(P(), P("d"), P("d")))
    found[function.__name__] = calls(split, params, inputs, lengths, state)
alone = SingleDeviceSharding(mesh.devices[0])
arguments = params, jnp.zeros((2, 32, 9, 3)), lengths, state
def on_one(a):
    return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=alone)

found["vmapped"] = calls(vmapped, *jax.tree.map(on_one, arguments))
try:
    calls(gradient, params, inputs, lengths, state)
except NotImplementedError as error:
    found["split without shard_map"] = str(error)
print(json.dumps(found))
"""


def test_operations_of_a_loop_are_counted_and_nothing_else():
    assert list(fusions_in_loops(PROGRAM)) == [2]


def test_bundles_of_a_loop_are_those_two_deep():
    assert list(bodies(LISTING)) == [2, 1]


def test_the_record_has_two_calls_where_xla_begins_thousands_of_operations():
    found = json.loads(RECORD.read_text(encoding="utf-8"))["compiled"]
    assert {(each["chip"], each["hidden"]) for each in found} >= {(chip, 100) for chip in CHIPS}
    for each in found:
        ours, xla = each["tpu"]["forward_and_backward"], each["xla"]["forward_and_backward"]
        assert ours["operations"] == ours["calls"] == 2
        assert xla["calls"] == 0
        assert xla["operations"] > 1000 * ours["operations"]
        assert ours["vmem_mib"] < 100
        assert (each["bundles_a_step"] is not None) == ((each["chip"], each["hidden"]) == LISTED)


@pytest.mark.skipif(unavailable() is not None, reason=f"no TPU compiler: {unavailable()}")
@pytest.mark.parametrize("chip", CHIPS)
def test_a_tpu_runs_one_call_there_and_one_back(chip):
    (found,) = compiled(chip, Shape(), "tpu", (True,))
    assert found.operations == found.calls == 2


@pytest.mark.skipif(unavailable() is not None, reason=f"no TPU compiler: {unavailable()}")
def test_it_compiles_under_shard_map_in_chunks_and_under_vmap():
    found = json.loads(in_a_new_process(TRANSFORMED))
    refusal = found.pop("split without shard_map")
    assert "shard_map" in refusal
    assert found == {"gradient": 2, "in_chunks": 3, "vmapped": 2}
