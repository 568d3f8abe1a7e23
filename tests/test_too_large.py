"""What memory cannot hold ends in one line that says what to make smaller."""

import math
import sys

import jax
import pytest

from lstm_jax import cli, memory
from lstm_jax.memory import NotEnoughMemory, free_memory, memory_explained


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "texts.csv"
    lines = [f"a {word} film {n},{word}" for n in range(20) for word in ("good", "bad")]
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


def complaint_of(arguments, monkeypatch, capsys):
    """What the command line says on standard error; its exit status must be 2."""
    monkeypatch.setattr(sys, "argv", ["lstm-jax", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("sizes", "smaller"),
    [
        ("--model.hidden-size 100000", "--model.hidden-size or --model.embedding-size"),
        ("--model.hidden-size 2000000000", "--model.hidden-size or --model.embedding-size"),
        (
            "--model.hidden-size 1 --model.embedding-size 100000000",
            "--model.embedding-size, --text.vocabulary-size or --text.ngrams",
        ),
    ],
)
def test_a_model_that_memory_cannot_hold_is_refused_in_one_line_before_anything_is_computed(
    table, tmp_path, monkeypatch, capsys, sizes, smaller
):
    monkeypatch.setattr(memory, "free_memory", lambda: 16e9)
    arguments = ["train", table, tmp_path / "run", *sizes.split()]
    complaint = complaint_of(arguments, monkeypatch, capsys)
    assert complaint.startswith("lstm-jax: the model must fit in memory")
    assert complaint.endswith(f"make {smaller} smaller\n")
    assert complaint.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_batches_that_memory_cannot_hold_end_in_one_line(table, tmp_path, monkeypatch, capsys):
    # Gates of 130 GB; the embeddings, which are computed before them, are small.
    sizes = ["--train.batch-size", 1_000_000, "--model.hidden-size", 500]
    sizes += ["--model.embedding-size", 1]
    complaint = complaint_of(["train", table, tmp_path / "run", *sizes], monkeypatch, capsys)
    assert complaint.startswith("lstm-jax: not enough memory (out of memory allocating ")
    assert complaint.endswith(
        "; make --train.batch-size, --text.max-length or --model.hidden-size smaller\n"
    )
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
            "not enough memory (out of memory allocating 9 bytes); make it smaller",
        ),
        (
            ValueError("RESOURCE_EXHAUSTED: Out of memory\nallocating 9 bytes."),
            "not enough memory (out of memory allocating 9 bytes); make it smaller",
        ),
        (MemoryError(), "not enough memory; make it smaller"),
        (
            MemoryError("Unable to allocate 9 bytes for an array"),  # as NumPy says it
            "not enough memory (unable to allocate 9 bytes for an array); make it smaller",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_library_s_word_for_too_little_memory_is_understood(error, message):
    with pytest.raises(NotEnoughMemory) as caught, memory_explained("it"):
        raise error
    assert str(caught.value) == message


@pytest.mark.parametrize("error", [ValueError("x"), jax.errors.JaxRuntimeError("INTERNAL: x")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as caught, memory_explained("it"):
        raise error
    assert caught.value is error


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_free_memory_is_within_the_machine_s_and_the_process_s_limits():
    import resource

    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        free = free_memory()
        assert 1e6 < free < math.inf
        before = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        try:
            resource.setrlimit(resource.RLIMIT_AS, (mapped + (1 << 27), before[1]))
            assert free_memory() <= 1 << 28
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
