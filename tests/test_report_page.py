"""The page of a report: whole, safe, readable, and small whatever was measured."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from test_reports import certain, scored

from lstm_jax.reports import Scored, write_report
from lstm_jax.reports.charts import confusion_map, training_chart
from lstm_jax.reports.escaped import escaped, shortened
from lstm_jax.reports.page import report_page
from lstm_jax.reports.svg import number_axis, percent_axis

HOSTILE = "</script></style></svg><img src=x onerror=alert(1)> \"'&\u202e\x00\x1b[31m"
RECORDS = [
    {"step": 10, "loss": 0.6, "gradient_norm": 1.0},
    {"step": 20, "loss": 0.5, "gradient_norm": 1.0},
    *(
        {
            "step": step,
            "epoch": epoch,
            "train_loss": 0.5,
            "train_accuracy": 0.8,
            "validation_loss": 0.6,
            "validation_accuracy": 0.75,
        }
        for epoch, step in ((1, 20), (2, 40))
    ),
]


class Tags(HTMLParser):
    """The elements of a page: their names, attributes, and whether they are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def hostile(classes: int) -> Scored:
    """Texts, names and a title that try to break out of the page."""
    plain = scored(classes=classes, lengths=np.arange(1, 401), linear_accuracy=0.8)
    names = tuple(f"{n} {HOSTILE}" for n in range(classes))
    texts = [f"{HOSTILE} {text}" for text in plain.texts]
    named = {"part": f"texts of {HOSTILE}", "title": HOSTILE}
    found = {"lengths": plain.lengths, "linear_accuracy": 0.8, "records": RECORDS}
    return Scored(texts, plain.labels, plain.logits, names, **named, **found)


@pytest.mark.parametrize("classes", [2, 5, 30])
def test_nothing_from_outside_is_markup(classes):
    page = report_page(hostile(classes))
    tags = Tags(page)
    assert not {"script", "img", "link", "iframe", "a"} & set(tags.names)
    assert not [name for name, _ in tags.attributes if name.startswith("on") or name == "src"]
    assert page.count("<style>") == page.count("</style>") == 1
    assert not {"\u202e", "\x00", "\x1b"} & set(page)
    assert "&lt;/script&gt;" in page


def test_a_page_loads_nothing_and_runs_nothing():
    page = report_page(hostile(5))
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|url\(|@import|<script", page)


@pytest.mark.parametrize("classes", [2, 5, 30])
def test_a_page_has_all_its_parts(classes):
    lengths = np.random.default_rng(0).integers(5, 200, 400)
    page = report_page(scored(classes=classes, lengths=lengths, records=RECORDS, title="runs/x"))
    parts = ["Classes", "Confusion", "Probabilities", "Ranking", "Lengths", "Training", "Mistakes"]
    assert [title.split()[0] for title in re.findall("<h2>(.*?)</h2>", page)] == parts
    assert f"{scored(classes=classes).metrics.accuracy:.1%}"[:-1] in page
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page
    pictures = re.findall(r'<svg [^>]*role="img" aria-label="([^"]+)"', page)
    assert len(pictures) == page.count("<svg") >= 7


def test_parts_with_nothing_to_show_are_left_out():
    one = Scored(["a"], np.zeros(1, np.int32), np.array([[3.0, 0.0, 0.0]]), ("a", "b", "c"))
    page = report_page(one)
    assert re.findall("<h2>(.*?)</h2>", page) == ["Classes", "Confusion", "Probabilities"]
    Tags(page)


def test_25000_texts_of_50_classes_are_a_small_page():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 50, 25_000).astype(np.int32)
    logits = rng.normal(size=(25_000, 50))
    logits[np.arange(25_000), labels] += 2
    found = Scored(
        ["word " * 300] * 25_000,
        labels,
        logits,
        tuple(f"intent number {n}" for n in range(50)),
        lengths=rng.integers(1, 400, 25_000),
    )
    assert len(report_page(found).encode()) < 600_000


def test_a_heat_map_says_what_each_of_its_cells_is():
    found = certain("b" * 30 + "a" * 10, "a" * 40)
    assert "a → b: 30 (75.0%)" in confusion_map(found)


def test_a_report_is_two_files(tmp_path):
    written = write_report(tmp_path / "new" / "folder", scored())
    assert written.report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert written.mistakes.read_text(encoding="utf-8").startswith("text,true,predicted,")
    assert sorted(path.name for path in written.report.parent.iterdir()) == [
        "mistakes.csv",
        "report.html",
    ]


def test_curves_need_two_points():
    assert training_chart([RECORDS[:3]], "accuracy", ["run"]).count("<circle") == 2
    assert training_chart([[]], "loss", ["run"]) == ""
    diverged = [{**record, "loss": None} for record in RECORDS[:2]]
    assert training_chart([diverged], "loss", ["run"]) == ""


@pytest.mark.parametrize("high", [1e-6, 0.3, 1, 7, 23, 1234, 5e6])
def test_axes_of_numbers_hold_them_with_a_few_round_ticks(high):
    axis = number_axis("n", 0, high)
    assert axis.low == 0 <= high <= axis.high * (1 + 1e-9)
    assert 2 <= len(axis.ticks) <= 7
    assert len({label for _, label in axis.ticks}) == len(axis.ticks)


@pytest.mark.parametrize("low", [0.0, 0.5, 0.7, 0.9])
def test_axes_of_shares_begin_and_end_with_a_tick(low):
    ticks = [label for _, label in percent_axis("share", low).ticks]
    assert (ticks[0], ticks[-1]) == (f"{100 * low:.0f}%", "100%")
    assert 4 <= len(ticks) <= 7


def test_text_is_escaped_on_one_line_and_cut_with_an_ellipsis():
    assert escaped("a <b>\n  &\u202e 95%") == "a &lt;b&gt; &amp;\\u202e 95%"
    assert shortened("word " * 1000, 12) == "word word w…"
    assert shortened("short", 12) == "short"
