"""What a person sees: tables that fit, names that are shown as they are."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import small
from rich.cells import cell_len
from rich.console import Console

from lstm_jax import cli
from lstm_jax.cli.tables import MOST, Confusion, metrics_table
from lstm_jax.console import (
    Sheet,
    duration,
    printable,
    say,
    say_facts,
    say_result,
    say_sentences,
)

METRICS = {
    "accuracy": 0.92314,
    "macro_f1": 0.91,
    "loss": 0.2123,
    "auc": 0.97,
    "calibration_error": 0.0123,
    "examples": 1_250_000,
}
PARTS = {"validation": METRICS, "test": METRICS}
NAMES = {
    "two": ("neg", "pos"),
    "six": ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"),
    "fifty": tuple(f"intent {n}" for n in range(50)),
    "fifty long": tuple(f"intent number {n} of all that there are" for n in range(50)),
    "of the world": ("很好的评论", "schön", "не очень", "[/neg]", "[neg]", "\x1b[31mred\n"),
    "wide": ("评" * 45, "论" * 45, "好"),
}
# The width of the console, of those tried, from which on all counts are shown.
WHOLE_FROM = {NAMES["two"]: 40, NAMES["six"]: 60, NAMES["of the world"]: 120}


def shown(width: int, *things, terminal: bool = False) -> str:
    """What a console of this width shows."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    for thing in things:
        console.print(thing)
    return file.getvalue()


def test_metrics_are_a_table_at_80_columns_and_blocks_at_60():
    assert shown(80, metrics_table(PARTS)) == (
        "┏━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━┳━━━━━━━━━━━┓\n"
        "┃            ┃          ┃          ┃        ┃        ┃ calibration ┃           ┃\n"
        "┃ part       ┃ accuracy ┃ macro F1 ┃   loss ┃    AUC ┃       error ┃  examples ┃\n"
        "┡━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━╇━━━━━━━━━━━┩\n"
        "│ validation │   92.31% │   0.9100 │ 0.2123 │ 0.9700 │      0.0123 │ 1,250,000 │\n"
        "│ test       │   92.31% │   0.9100 │ 0.2123 │ 0.9700 │      0.0123 │ 1,250,000 │\n"
        "└────────────┴──────────┴──────────┴────────┴────────┴─────────────┴───────────┘\n"
    )
    assert [line.rstrip() for line in shown(60, metrics_table(PARTS)).splitlines()][:8] == [
        "part: validation",
        "  accuracy           92.31%",
        "  macro F1           0.9100",
        "  loss               0.2123",
        "  AUC                0.9700",
        "  calibration error  0.0123",
        "  examples           1,250,000",
        "part: test",
    ]


def test_what_could_not_be_measured_is_a_dash():
    assert "│   - │" in shown(80, metrics_table({"test": {"accuracy": 0.5, "auc": None}}))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_no_table_is_wider_than_its_console_or_cuts_a_word(names, width):
    counts = np.random.default_rng(0).integers(1, 1000, (len(names), len(names))).tolist()
    confusion = Confusion(counts, names, "confusion in runs/a/result.json")
    printed = shown(width, metrics_table(PARTS), confusion)
    assert "…" not in printed
    assert "\x1b" not in printed
    assert max(map(cell_len, printed.splitlines())) <= width
    together = "".join(printed.split())  # long names go on in the next line
    pairs = confusion.pairs()
    assert pairs is not None
    whole = "All" not in printed
    for name in names if whole else {name for row in pairs.rows for name in row[:2]}:
        assert "".join(printable(name).split()) in together.replace("│", "")
    assert whole == (width >= WHOLE_FROM.get(names, 1000))


def test_many_classes_are_shown_as_the_pairs_that_are_most_confused():
    counts = np.diag([100] * 50)
    counts[7, 3], counts[3, 7], counts[0, 49] = 25, 300, 1
    assert [
        line.rstrip()
        for line in shown(80, Confusion(counts.tolist(), NAMES["fifty"], "somewhere")).splitlines()
    ] == [
        "Most confused classes: 3 of 3 pairs",
        "┏━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━┓",
        "┃            ┃              ┃          ┃  share of ┃",
        "┃ true class ┃ predicted as ┃ examples ┃ the class ┃",
        "┡━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━┩",
        "│ intent 3   │ intent 7     │      300 │     75.0% │",
        "│ intent 7   │ intent 3     │       25 │     20.0% │",
        "│ intent 0   │ intent 49    │        1 │      1.0% │",
        "└────────────┴──────────────┴──────────┴───────────┘",
        "All 50 classes: somewhere",
    ]
    full = Confusion([[1] * 50] * 50, NAMES["fifty"], "somewhere").pairs()
    assert full is not None
    assert len(full.rows) == MOST
    assert full.title == "Most confused classes: 10 of 2,450 pairs"
    none = Confusion(np.eye(50, dtype=int).tolist(), NAMES["fifty"], "somewhere")
    assert shown(80, none) == "No example of the 50 classes is predicted as another.\n"


def test_few_classes_are_shown_whole():
    printed = shown(60, Confusion([[1204, 46], [31, 1219]], ("[/neg]", "[neg]"), "somewhere"))
    assert printed == (
        "Examples of each class, by what they are predicted as\n"
        "┏━━━━━━━━━━━━┳━━━━━━━━┳━━━━━━━┓\n"
        "┃ true class ┃ [/neg] ┃ [neg] ┃\n"
        "┡━━━━━━━━━━━━╇━━━━━━━━╇━━━━━━━┩\n"
        "│ [/neg]     │  1,204 │    46 │\n"
        "│ [neg]      │     31 │ 1,219 │\n"
        "└────────────┴────────┴───────┘\n"
    )


def test_titles_and_lines_are_no_markup():
    sheet = Sheet(("[b]h[/b]", "n"), [("[/x]", "1")], title="m [bold]", caption="[/y]")
    printed = shown(80, sheet)
    for text in ("[b]h[/b]", "[/x]", "m [bold]", "[/y]"):
        assert text in printed
        assert text in shown(9, sheet).replace("\n", "").replace("  ", "") or text == "m [bold]"
    file = io.StringIO()
    say(Console(file=file, width=20), "[/y] " + "long " * 10 + ":smile:\nnext\x1b[31m")
    assert file.getvalue() == "[/y] " + "long " * 10 + ":smile:\nnext\\x1b[31m\n"


def test_durations_are_said_as_people_say_them():
    assert [duration(seconds) for seconds in (0.4, 99, 100, 3569, 3600, 7500)] == [
        *("0 s", "99 s", "2 min", "59 min", "1 h 0 min", "2 h 5 min")
    ]


# Through the commands.

SETTINGS = [
    *small.PLAIN,
    *("--text.max-length", "8", "--text.vocabulary-size", "20", "--model.embedding-size", "4"),
    *("--model.hidden-size", "4", "--train.epochs", "1", "--train.batch-size", "8"),
    *("--train.buckets", "1", "--train.validation-fraction", "0.2"),
]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["lstm_jax", *map(str, arguments)])
    cli.main()


def test_classes_files_and_runs_with_markup_in_their_names_are_shown_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "80")
    data, folder = tmp_path / "[red]x.csv", tmp_path / "m [bold]"
    rows = [f"word{n % 2} a{n},{'[/neg]' if n % 2 else '[neg]'}" for n in range(40)]
    data.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    run(monkeypatch, "train", data, folder, "--test", data, *SETTINGS)
    printed = capsys.readouterr().out
    assert f"reading {data}\n" in printed
    assert "│ [/neg]     │" in printed
    assert "│ [neg]      │" in printed
    assert f"lstm-jax predict '{folder}'" in printed
    run(monkeypatch, "evaluate", folder, data)
    assert "┃ true class ┃ [/neg] ┃ [neg] ┃" in capsys.readouterr().out
    run(monkeypatch, "evaluate", folder, data, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["class_names"] == ["[/neg]", "[neg]"]
    assert np.sum(found["confusion"]) == found["examples"] == 40
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["confusion"] == found["confusion"]
    run(monkeypatch, "train", data, folder, "--test", data, *SETTINGS, "--resume")
    assert f"{folder} is finished" in capsys.readouterr().out


# A command is to be copied: the terminal alone may break it.
COMMAND = "lstm-jax predict runs/mine"
SENTENCES = ["Accuracy on 2,000 test texts: 91.2%", "See [red]runs/mine/report.html[/red]\x1b[31m"]


@pytest.mark.parametrize("width", [20, 80])
def test_sentences_break_between_words_on_a_terminal_and_are_whole_in_a_file(width):
    def said(terminal: bool) -> str:
        file = io.StringIO()
        console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
        say_sentences(console, SENTENCES)
        say(console, COMMAND, whole=True)
        return file.getvalue()

    whole = [printable(line) for line in SENTENCES]
    assert said(False).splitlines() == [*whole, COMMAND]
    *lines, command = said(True).splitlines()
    assert command == COMMAND
    assert max(map(cell_len, lines)) <= width
    assert " ".join(said(True).split()).startswith(whole[0])
    assert (len(lines) == 2) == (width == 80)


@pytest.mark.parametrize("terminal", [False, True])
def test_facts_stand_beside_their_names(terminal):
    file = io.StringIO()
    console = Console(file=file, width=30, force_terminal=terminal, color_system=None)
    say_facts(console, [("data", "a.csv"), ("none", ""), ("settings", "one [b]\ntwo\x07")])
    assert [line.rstrip() for line in file.getvalue().splitlines()] == [
        "data      a.csv",
        "settings  one [b]",
        r"          two\x07",
    ]


def test_a_quiet_console_prints_the_result_alone():
    for quiet, expected in ((True, "91.2%\n"), (False, "more\n")):
        file = io.StringIO()
        console = Console(file=file, quiet=quiet)
        say_result(console, "91.2%")
        say(console, "more")
        assert file.getvalue() == expected
