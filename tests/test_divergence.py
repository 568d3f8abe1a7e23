"""Training that diverges: noticed at every step, named in one line, never saved."""

import subprocess
from pathlib import Path

import jax.numpy as jnp
import pytest
from sweeps import interrupts

from lstm_jax.train.divergence import Divergence

UNIFORM = 0.7
PARAMS = {"kernel": jnp.ones((3, 4))}


def watcher(step: int = 0) -> Divergence:
    return Divergence(PARAMS, step=step, uniform_loss=UNIFORM, schedule=lambda step: 0.01 * step)


def of_step(loss: float, norm: float = 1.0) -> dict:
    return {"loss": jnp.float32(loss), "norm": jnp.float32(norm)}


@pytest.mark.parametrize("bad", [of_step(jnp.nan), of_step(jnp.inf), of_step(0.5, jnp.inf)])
def test_the_first_step_that_is_not_finite_is_named_with_its_learning_rate(bad):
    divergence = watcher(step=7)
    for numbers in (of_step(0.5), of_step(0.6), bad, of_step(jnp.nan)):
        divergence.add(numbers)
    with pytest.raises(FloatingPointError, match=r"not finite at step 10, learning rate 0.09;"):
        divergence.check()


def test_a_step_is_looked_at_without_being_asked_for_in_the_end():
    divergence = watcher()

    def never_asking():
        for _ in range(1000):
            divergence.add(of_step(jnp.nan))

    with pytest.raises(FloatingPointError, match="not finite at step 1,"):
        never_asking()


def test_a_loss_that_is_finite_but_absurd_is_refused():
    divergence = watcher()
    divergence.add(of_step(500 * UNIFORM))  # one strange text can do that
    divergence.check()
    divergence.add(of_step(2000 * UNIFORM))
    with pytest.raises(FloatingPointError, match=r"2000 times .* learnt nothing, at step 2,"):
        divergence.check()


@pytest.mark.parametrize("part", ["train", "validation"])
def test_the_mean_over_an_epoch_may_be_at_most_a_thousand_times_that_of_a_guess(part):
    divergence = watcher()
    divergence.check_epoch(part, 900 * UNIFORM)
    for loss in (1100 * UNIFORM, float("nan"), float("inf")):
        with pytest.raises(FloatingPointError, match=f"the {part} loss"):
            divergence.check_epoch(part, loss)


@pytest.mark.parametrize("factor", [1000.0, float("nan"), float("inf"), 1e38])
def test_parameters_that_one_step_made_absurd_are_refused(factor):
    divergence = watcher()
    divergence.check_params({"kernel": 50 * PARAMS["kernel"]})
    with pytest.raises(FloatingPointError, match="the parameters"):
        divergence.check_params({"kernel": 50 * factor * PARAMS["kernel"]})


@pytest.mark.parametrize(
    ("rate", "rows"),
    [("1e38", 30), ("1e6", 200)],
    ids=["not finite, one step an epoch", "finite, many"],
)
def test_an_absurd_learning_rate_ends_in_one_line_and_saves_nothing(rate, rows, tmp_path):
    interrupts.write_table(tmp_path / "train.csv", rows)
    batch = "64" if rows == 30 else "8"
    done = subprocess.run(
        [
            *interrupts.command(tmp_path / "train.csv", tmp_path / "run"),
            *("--optimizer.learning-rate", rate, "--train.epochs", "1"),
            *("--train.batch-size", batch, "--train.buckets", "1"),
            *("--optimizer.schedule", "constant", "--optimizer.warmup-steps", "0"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "at step" in line
    assert f"learning rate {float(rate):.3g};" in line
    run = tmp_path / "run"
    assert not (run / "weights").exists()
    assert not (run / "result.json").exists()
    assert not [path for path in (run / "checkpoints").iterdir() if path.name.isdecimal()]
