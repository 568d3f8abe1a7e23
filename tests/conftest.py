"""What all tests share."""

import contextlib
import ctypes
import gc
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import jax
import jaxtyping
import numpy as np
import pytest

# Every array that goes in and out of an annotated function is checked against its annotation. Where
# there are no arrays of JAX, the hook would only cost time.
CHECKED = (
    "cell variants recurrence lstm orthogonal sharding kernels nn models train interop predictor"
)
jaxtyping.install_import_hook(
    [f"lstm_jax.{module}" for module in CHECKED.split()], "shape_checks.check_arrays"
)

# None asks how fast XLA's programs are, and its compiler is most of the tests' time; some ask for
# the same bits again, which a GPU only gives if it is told to.
FLAGS = [
    "--xla_backend_optimization_level=0",
    "--xla_gpu_deterministic_ops=true",
    "--xla_cpu_parallel_codegen_split_count=1",  # the other core has a test of its own
]
if jax.__version_info__ < (0, 11):  # a later one may not know it, and would stop
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([*FLAGS, os.environ.get("XLA_FLAGS", "")])

# On an accelerator a float32 product may be computed in less; the oracles are exact.
jax.config.update("jax_default_matmul_precision", "highest")

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"

SLOW = Path(__file__).with_name("slow.txt")

# Skips that say something of the machine; all others would hide a test that was to run.
EXPECTED_SKIPS = re.compile(
    r"no IMDB reviews|no prepared IMDB reviews|the archive is not there"
    r"|no AVX512|this processor has no|only root can|cannot mount"
    r"|needs chromium|needs node|needs ray|needs a C\+\+ compiler"
    r"|no CUDA compiler|no TPU compiler|there is a TPU"
    r"|needs Linux|asks Linux|has no fork|reads its size in /proc|counts its threads in /proc"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """An option for CI."""
    parser.addoption(
        "--refuse-unexpected-skips",
        action="store_true",
        help="fail if a test is skipped for a reason that is not of the machine",
    )


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Iterator[None]:
    """Names the tests that were skipped for reasons that are not of the machine."""
    yield
    for report in unexpected_skips(terminalreporter, config):
        terminalreporter.write_line(f"UNEXPECTED SKIP {report.nodeid}: {reason_of(report)}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run with such skips, if it was asked to."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and unexpected_skips(reporter, session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def unexpected_skips(
    reporter: pytest.TerminalReporter, config: pytest.Config
) -> list[pytest.TestReport]:
    """The reports of tests that were skipped without need, if that is to be refused."""
    if not config.getoption("--refuse-unexpected-skips"):
        return []
    skipped = reporter.stats.get("skipped", [])
    return [report for report in skipped if not EXPECTED_SKIPS.search(reason_of(report))]


def reason_of(report: pytest.TestReport) -> str:
    """Why a test was skipped."""
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


def pytest_configure(config: pytest.Config) -> None:
    """What one test has compiled, the others take from a folder.

    So do the workers and programs that are started later, which inherit the environment.
    """
    # Tracing makes many objects and hardly any garbage: 7 % of it was the search for some.
    gc.set_threshold(50_000, 20, 100)
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        settings = {
            "jax_compilation_cache_dir": folder.name,
            "jax_persistent_cache_min_compile_time_secs": 0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        for name, value in settings.items():
            os.environ[name.upper()] = str(value)
            jax.config.update(name, value)
    # A job in the background of a shell ignores these, and so would the programs that tests start.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    # A read of Orbax that failed is told to an event loop that has ended by then.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning",
    )
    # What another process has written half is not read, but compiled.
    config.addinivalue_line(
        "filterwarnings", "ignore:Error reading persistent compilation cache entry:UserWarning"
    )


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run of a test."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _arrays_are_checked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Of a test that gives wrong arrays on purpose, the function itself is to refuse them."""
    wrong = request.node.get_closest_marker("wrong_arrays") is not None
    jaxtyping.config.update("jaxtyping_disable", wrong)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="module")
def _programs_are_forgotten() -> Iterator[None]:
    """Thousands of compiled programs would grow a worker to 7 GB, and slow it down.

    Those of a few modules are kept, because many modules train the same small models. The C library
    must be told to give the memory back: else a worker that has once had 3 GB keeps them, and all
    modules after that one trace their programs again, which is most of a small training's time.
    """
    yield
    status = Path("/proc/self/statm")
    pages = int(status.read_text(encoding="utf-8").split()[1]) if status.exists() else sys.maxsize
    if pages * os.sysconf("SC_PAGE_SIZE") > 3 << 30:
        jax.clear_caches()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # glibc has it
            ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True, scope="session")
def _curves_are_drawn_once() -> Iterator[None]:
    """The first picture of loss and accuracy stands for all later ones: each takes 0.2 s."""
    from lstm_jax.files import write_bytes  # only now, as it is to be checked
    from lstm_jax.train import open_run, report

    pictures: list[bytes] = []

    def draw_first(metrics: Path, picture: Path) -> None:
        if not pictures:
            report.draw_curves(metrics, picture)
            pictures.append(picture.read_bytes())
        write_bytes(picture, pictures[0])

    with mock.patch.object(open_run, "draw_curves", draw_first):
        yield


@pytest.fixture(autouse=True, scope="session")
def _real_data_folder() -> None:
    if (REAL_DATA / "tfds").is_dir():
        os.environ.setdefault("TFDS_DATA_DIR", str(REAL_DATA / "tfds"))


@pytest.fixture(autouse=True, scope="session")
def _no_traces(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["LSTM_JAX_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks slow tests, and skips what needs the real reviews where there are none."""
    slow = {line for line in SLOW.read_text().splitlines() if not line.startswith("#")}
    found = set()
    for item in items:
        name = f"{item.path.name}::{item.name.partition('[')[0]}"
        if name in slow:
            found.add(name)
            item.add_marker(pytest.mark.slow)
    collected = {item.path.name for item in items}
    whole = {name for name in slow - found if name.partition("::")[0] in collected}
    if whole and len(collected) > 1:
        raise pytest.UsageError(f"{SLOW.name} names tests that do not exist: {sorted(whole)}")
    if REAL_DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(pytest.mark.skip(reason=f"no IMDB reviews at {REAL_DATA}"))


@pytest.fixture
def write(tmp_path):
    """Writes a file into an empty folder and gives its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file
