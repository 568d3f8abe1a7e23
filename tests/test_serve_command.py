"""`lstm-jax serve`: what it refuses in one line, and the guide to it."""

import dataclasses
import re
import shlex
import socket
import sys
from pathlib import Path

import httpx
import pytest
import serving
from test_command_line import numeric_options, said
from test_serve_process import Running

from lstm_jax import cli
from lstm_jax.serve import server
from lstm_jax.serve.metrics import Metrics
from lstm_jax.serve.server import take_port
from lstm_jax.serve.settings import Address, Limits

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "serve.md"

# Each option of a number with a value just outside what is allowed, and what is said of it.
LIMITS = {
    "--port": "65536 at most 65535",
    "--batch-size": "0 at least 1",
    "--wait-ms": "-0.5 at least 0",
    "--queue": "0 at least 1",
    "--max-bytes": "0 at least 1",
    "--max-texts": "0 at least 1",
    "--max-characters": "0 at least 1",
    "--max-connections": "0 at least 1",
    "--timeout": "0.0 above 0",
    "--requests-per-second": "-1.0 at least 0",
    "--burst": "0 at least 1",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return serving.trained(tmp_path_factory)


@pytest.mark.parametrize(("option", "limit"), LIMITS.items())
def test_every_number_outside_its_limits_is_refused(option, limit, monkeypatch, capsys):
    value, _, allowed = limit.partition(" ")
    found = said(monkeypatch, capsys, f"serve run {option} {value}")
    assert found == f"{option} must be {allowed}, got {value}"


def test_the_limits_above_are_those_of_all_options_with_a_number(monkeypatch, capsys):
    assert numeric_options(capsys, monkeypatch, cli.main, "serve --help") == set(LIMITS)


def test_what_cannot_be_listened_on_is_one_line(run, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for options, message in (
            (f"--port {port}", f"--port must be free, got {port}, which another program has"),
            (
                "--host no.such.invalid",
                "--host must be a name or address of this machine, got 'no.such.invalid'",
            ),
            ("--host 192.0.2.7", "--host must be of this machine, got '192.0.2.7'"),
        ):
            assert said(monkeypatch, capsys, f"serve {run} {options}") == message


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_it_is_named(run, package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert said(monkeypatch, capsys, f"serve {run}") == (
        f"{package} is needed to serve a run: pip install {package}, or"
        " pip install 'lstm_jax[serve]'"
    )


@pytest.fixture
def not_run(monkeypatch):
    """The command does everything but answer."""
    monkeypatch.setattr(server, "run_server", lambda *_: None)
    monkeypatch.setattr(server, "take_port", lambda _: take_port(Address(port=0)))


def test_a_server_for_others_says_that_nothing_is_authenticated(run, not_run, monkeypatch, capsys):
    for host, warned in (("0.0.0.0", True), ("127.0.0.1", False)):
        monkeypatch.setattr(sys, "argv", ["x", "serve", str(run), "--host", host])
        cli.main()
        lines = capsys.readouterr().out.splitlines()
        assert ("nothing is authenticated or encrypted" in lines[0]) == warned
        assert len(lines) == 2 + warned


@pytest.fixture(scope="module")
def running(run):
    found = Running(run, Limits())
    yield found
    found.stop()


@pytest.fixture
def at_home(run, tmp_path, monkeypatch):
    """A folder in which `runs/mine` is the run."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(run)
    monkeypatch.chdir(tmp_path)


def blocks(language: str) -> list[str]:
    """What stands in the guide in that language."""
    page = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_guides_commands_run(running, at_home, not_run, monkeypatch, capsys):
    words = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    programs = [program for program, *_ in words]
    assert {"pip", "lstm-jax", "curl"} == set(programs)
    for program, *more in words:
        if program == "curl":
            *options, url = more
            url = url.replace(":8000", f":{running.port}")
            if options[:1] == ["--json"]:
                headers = {"Content-Type": "application/json"}
                answer = httpx.post(url, content=options[1], headers=headers, timeout=60)
            else:
                answer = httpx.get(url)
            allowed = (200, 503) if url.endswith("/health") else (200,)
            assert answer.status_code in allowed, (url, answer.text)
        elif program == "lstm-jax":
            monkeypatch.setattr(sys, "argv", [program, *more])
            cli.main()
            assert "runs/mine on http://" in capsys.readouterr().out


def test_the_guides_application_runs(at_home):
    names: dict = {}
    (code,) = blocks("python")
    exec(code, names)
    assert "label" in serving.predict(names["app"], {"text": "a"}, path="/model/predict")


def test_the_guide_has_the_limits_that_there_are():
    page = PAGE.read_text(encoding="utf-8")
    for field in dataclasses.fields(Limits):
        option = f"--{field.name.replace('_', '-')}"
        assert f"`{option}`" in page
        if field.name not in ("requests_per_second", "burst"):
            assert f"| `{option}` | {str(field.default).removesuffix('.0')} " in page
    names = re.findall(r"^# TYPE (\w+) ", Metrics(int, int, int).text(), re.M)
    assert re.findall(r"^\| `(lstm_jax_\w+)`", page, re.M) == names
