"""The road of CONTRIBUTING.md: from the command down to the equations."""

import re
import sys
from pathlib import Path
from types import FrameType

import small

from experiments.imdb import command

ROOT = Path(__file__).parents[1]
SETTINGS = (
    *("--text.vocabulary-size", "50", "--text.max-length", "24", "--text.ngrams", "9"),
    *("--model.embedding-size", "4", "--model.hidden-size", "4", "--train.epochs", "1"),
    *("--train.batch-size", "32", "--train.buckets", "1", "--model.implementation", "scan"),
)


def road() -> list[tuple[str, str]]:
    """File and function of each stop."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = text.split("<!-- road -->")[1].split("<!-- /road -->")[0]
    return re.findall(r"^\d+\. `([\w/.]+):(\w+)`", part, re.MULTILINE)


def stop(frame: FrameType | None) -> tuple[str, str] | None:
    """File and function of a call, of ours."""
    if frame is None or not frame.f_code.co_filename.startswith(str(ROOT)):
        return None
    file = Path(frame.f_code.co_filename).relative_to(ROOT).as_posix()
    return file, frame.f_code.co_name


def test_each_stop_is_called_below_the_one_before_it(tmp_path, monkeypatch):
    stops = road()
    assert len(stops) > 15
    assert stops[0][0].startswith("experiments/imdb/")
    assert stops[-1][0] == "lstm_jax/cell.py"
    missing = set(zip(stops[1:], stops[:-1], strict=True))

    def follow(frame: FrameType, event: str, _: object) -> None:
        here = stop(frame) if event == "call" else None
        if here not in stops:
            return
        above, caller = set(), frame.f_back
        while caller is not None:
            above.add(stop(caller))
            caller = caller.f_back
        missing.difference_update(
            {pair for pair in missing if pair[0] == here and pair[1] in above}
        )

    monkeypatch.setattr(command, "read_corpus", lambda *_, **options: small.corpus())
    arguments = ["bilstm", "--runs", str(tmp_path), *SETTINGS]
    monkeypatch.setattr(sys, "argv", ["experiments.imdb", *arguments])
    sys.setprofile(follow)
    try:
        command.main()
    finally:
        sys.setprofile(None)
    assert missing == set(), "called from elsewhere, or not at all"
