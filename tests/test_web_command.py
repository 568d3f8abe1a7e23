"""`export --format web` and `demo`: what they write, prove, open and refuse."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small

import lstm_jax
from lstm_jax import cli
from lstm_jax.interop.web import export_page, page, proof

NODE = shutil.which("node")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A trained run with n-grams."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    config = replace(
        small.CONFIG,
        text=replace(small.CONFIG.text, ngrams=(40,)),
        train=replace(small.CONFIG.train, epochs=1, buckets=1),
    )
    small.train(
        config, small.corpus(100), folder, command="python -m lstm_jax train /home/me/a.csv"
    )
    return folder


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["lstm_jax", *map(str, arguments)])
    cli.main()


def test_the_command_proves_the_page_and_writes_the_card(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(proof, "find_browser", lambda: None)
    out = tmp_path / "out"
    command(monkeypatch, "export", trained, out, "--format", "web", "--example", "a <good> film")
    printed = capsys.readouterr().out
    if NODE is None:
        assert "ready, but unproved" in printed
    else:
        assert float(re.findall(r"differ from the run's by (\S+) at most", printed)[0]) < 2e-3
        assert "Node" in printed
    text = (out / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in out.iterdir()] == ["index.html"]
    for shown in ("80 train, 20 validation, 30 test", "Accuracy on 30 test texts", "95% interval"):
        assert shown in text
    assert "<span>a.csv</span>" in text
    assert "/home/me" not in text
    assert "a \\u003cgood> film" in text


def test_without_browser_and_node_the_page_is_said_to_be_unproved(
    trained, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(proof.shutil, "which", lambda name: None)
    command(monkeypatch, "demo", trained, "--out", tmp_path / "out", "--no-open")
    assert "is ready, but unproved: neither Chromium nor Node" in capsys.readouterr().out


def test_demo_opens_the_page(trained, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open_new_tab", lambda address: opened.append(address) or True)
    monkeypatch.setattr(proof.shutil, "which", lambda name: None)
    command(monkeypatch, "demo", trained, "--out", tmp_path / "out")
    assert opened == [(tmp_path / "out" / "index.html").as_uri()]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_a_page_that_differs_is_not_left_behind(trained, tmp_path, monkeypatch):
    describe = page.describe

    def described(run, levels=None):
        found, content = describe(run, levels)
        found["config"]["temperature"] *= 1.5
        return found, content

    monkeypatch.setattr(proof, "find_browser", lambda: None)
    monkeypatch.setattr(page, "describe", described)
    with pytest.raises(RuntimeError, match=r"must be at most 0\.002"):
        export_page(lstm_jax.load(trained), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_examples_are_for_a_page_only(trained, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, "export", trained, tmp_path / "out", "--example", "a film")
    assert "example must be given with --format web only, got" in capsys.readouterr().err
