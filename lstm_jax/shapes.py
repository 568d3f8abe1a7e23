"""The letters of this library, and the array types made of them.

Notation, everywhere:

    B   batch: sequences processed together
    T   time: steps of the longest sequence in the batch
    D   inputs: features of one step
    H   hidden units of one direction
    G   gates, 4 H wide, in the order i, f, g, o (input, forget, candidate, output)
    V   vocabulary: distinct token ids
    E   embedding features of one token
    F   features of one step after a bidirectional merge (H or 2 H)
    C   classes; a binary classifier has one logit, so C = 1
"""

from typing import Any, TypeAlias

from jax import Array
from jaxtyping import Float, Int, Integer

# One step.
StepInputs: TypeAlias = Float[Array, "B D"]
StepState: TypeAlias = Float[Array, "B H"]

# A whole sequence.
Inputs: TypeAlias = Float[Array, "B T D"]
Outputs: TypeAlias = Float[Array, "B T H"]
Lengths: TypeAlias = Integer[Array, "B"]

# The parameters of one direction.
InputKernel: TypeAlias = Float[Array, "D G"]
RecurrentKernel: TypeAlias = Float[Array, "H G"]
Bias: TypeAlias = Float[Array, "G"]

# The classifier.
Tokens: TypeAlias = Int[Array, "B T"]
Embeddings: TypeAlias = Float[Array, "B T E"]
Encodings: TypeAlias = Float[Array, "B T F"]
Features: TypeAlias = Float[Array, "B F"]
Logits: TypeAlias = Float[Array, "B C"]
Labels: TypeAlias = Int[Array, "B"]

Params: TypeAlias = Any  # a pytree of arrays, as Flax makes it
