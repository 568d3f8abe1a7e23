"""What came out of a run: the content of result.json."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from lstm_jax.files import finite_or_none

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Outcome:
    """What training and measuring found; the run adds what it knows of itself.

    Attributes:
        data: the data's name.
        steps: how many were done.
        best_step: of the weights that were kept; None where the last were.
        warnings: what is odd about the data and what came out, a line each.
        summary: what came out, in sentences.
        validation: metrics by name, of the weights that were kept; "loss" among them.
        test: metrics by name, of the one look at the test examples.
        subsets: metrics of parts of the test examples, by name.
        members: where an LSTM and a linear model are added, what validation measured of each, and
            the weight of its logits, by the names "lstm" and "linear".
        confusion: test examples of class row that were predicted as class column.
        objective: what was learnt: "classification", "two_view" or "next_word".
    """

    data: str
    steps: int
    best_step: int | None = None
    warnings: list[str] = field(default_factory=list)
    validation: Numbers = field(default_factory=dict)
    test: Numbers = field(default_factory=dict)
    subsets: dict[str, Numbers] = field(default_factory=dict)
    members: dict[str, Numbers] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)
    objective: str = "classification"


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        name, seed: the configuration's.
        outcome: what came out.
        minutes: from start to end, interruptions not counted.
        memory_mib: held at most by the process that finished it; None where nobody says.
        parameters: how many numbers the model has.
        fingerprint: the checksum of all that another run can take from this one.
        command: what the user typed.
        environment: versions and machine.
    """

    name: str
    seed: int
    outcome: Outcome
    minutes: float
    memory_mib: int | None
    parameters: int
    fingerprint: str
    command: str
    environment: dict[str, Any]

    @property
    def test(self) -> Numbers:
        """Metrics of the test examples by name."""
        return self.outcome.test

    @property
    def validation(self) -> Numbers:
        """Metrics of the validation examples by name."""
        return self.outcome.validation

    def to_json(self) -> dict[str, Any]:
        """What result.json holds: the outcome's fields beside the others, no NaN or infinity."""
        fields = dataclasses.asdict(self)
        return _finite({**fields.pop("outcome"), **fields})

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """The result of which `to_json` gave the content."""
        names = [each.name for each in dataclasses.fields(Outcome)]
        outcome = Outcome(**{name: content[name] for name in names if name in content})
        others = [each.name for each in dataclasses.fields(cls) if each.name != "outcome"]
        return cls(outcome=outcome, **{name: content[name] for name in others})


def _finite(value: Any) -> Any:
    """The value with numbers that JSON cannot hold as None."""
    if isinstance(value, float):
        return finite_or_none(value)
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return value
