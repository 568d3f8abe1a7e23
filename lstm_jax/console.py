"""What is printed: tables that fit, lines that are not markup, and what is being done.

Whatever comes from outside (names of classes and files, texts, messages) is shown as it is: no part
of it is taken for rich's markup or steers the terminal.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text


def printable(text: object) -> str:
    """A text on one line, with what would steer a terminal written as Python escapes it."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(text))


def say(console: Console, text: str, style: str = "", *, whole: bool = False) -> None:
    """Prints lines as they are: on a terminal they break between words, elsewhere nowhere.

    Args:
        console: where.
        text: the lines.
        style: of rich.
        whole: for lines to be copied, such as commands: broken by the terminal alone.
    """
    lines = Text("\n".join(printable(line) for line in text.splitlines()), style=style)
    if console.is_terminal and not whole:
        lines.overflow = "fold"
        console.print(lines)
    else:
        console.print(lines, soft_wrap=True)


def say_sentences(console: Console, lines: Sequence[str]) -> None:
    """Prints a result in sentences, the first set off."""
    for number, line in enumerate(lines):
        say(console, line, "" if number else "bold")


def say_facts(console: Console, items: Sequence[tuple[str, str]]) -> None:
    """Prints names with what is to be said of each beside them; a terminal breaks between words.

    Args:
        console: where.
        items: names and texts; a text may have several lines, one without any is left out.
    """
    block = Table.grid(padding=(0, 2))
    block.add_column(no_wrap=True, style="dim")
    block.add_column(overflow="fold")
    width = max(len(name) for name, _ in items) + 2
    for name, text in items:
        for number, line in enumerate(map(printable, text.splitlines())):
            start = "" if number else name
            block.add_row(Text(start), Text(line))
            if not console.is_terminal:
                say(console, f"{start:<{width}}{line}")
    if console.is_terminal:
        console.print(block)


def say_result(console: Console, line: str) -> None:
    """Prints the one line that is left on a console that is quiet; on another nothing."""
    if console.quiet:
        console.quiet = False
        try:
            say(console, line)
        finally:
            console.quiet = True


def say_items(console: Console, items: Sequence[str]) -> None:
    """Prints short texts side by side, on as many lines of a terminal as they need."""
    lines = [""]
    for item in map(printable, items):
        longer = f"{lines[-1]}  {item}" if lines[-1] else item
        if console.is_terminal and cell_len(longer) > console.width and lines[-1]:
            lines.append(f"  {item}")
        else:
            lines[-1] = longer
    say(console, "\n".join(lines))


def interactive(console: Console) -> bool:
    """Whether someone looks at a terminal on which a line can change."""
    return console.is_interactive and not console.quiet


@contextmanager
def doing(console: Console, what: str) -> Generator[None]:
    """Says what is being done for as long as it lasts.

    On a terminal a line with the seconds that have gone by, which vanishes at the end; elsewhere
    one line when it begins.

    Args:
        console: where it is said.
        what: such as "reading reviews.csv".
    """
    if not interactive(console):
        say(console, what)
        yield
        return
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), Elapsed()
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        progress.add_task(printable(what), total=None)
        yield


class Elapsed(ProgressColumn):
    """The seconds since a task began, or the minutes."""

    max_refresh = 0.25

    def render(self, task: Task) -> Text:
        """The column of one task."""
        return Text(duration(task.elapsed or 0), style="progress.elapsed")


def duration(seconds: float) -> str:
    """Seconds as people say them: "9 s", "3 min", "2 h 5 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@dataclass(frozen=True)
class Sheet:
    """A table where it fits; where it does not, a block of lines "name  value" for each row.

    Nothing is cut off. Its first column names the rows; columns of numbers are set to the right.

    Attributes:
        headers: of the columns; a line end in one makes it two lines high.
        rows: as many strings each.
        title: a line above, or none.
        caption: a line below, or none.
        sections: numbers of the rows that a line is drawn above.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""
    sections: frozenset[int] = frozenset()

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterable[RenderableType]:
        """The table or the blocks, with the lines above and below."""
        if self.title:
            yield Text(printable(self.title), style="bold", overflow="fold")
        if self.fits(console, options):
            yield self._table()
        else:
            yield from self._blocks()
        if self.caption:
            yield Text(printable(self.caption), style="dim", overflow="fold")

    def fits(self, console: Console, options: ConsoleOptions) -> bool:
        """Whether every cell has its place in a line of the table."""
        unbounded = options.update(max_width=1_000_000)
        return Measurement.get(console, unbounded, self._table()).maximum <= options.max_width

    def _table(self) -> Table:
        table = Table()
        for number, header in enumerate(self.headers):
            cells = [row[number] for row in self.rows]
            lines = Text("\n".join(printable(line) for line in header.split("\n")))
            table.add_column(lines, justify="right" if _numbers(cells) else "left", no_wrap=True)
        for number, row in enumerate(self.rows):
            if number in self.sections:
                table.add_section()
            table.add_row(*(Text(printable(cell)) for cell in row))
        return table

    def _blocks(self) -> Iterator[RenderableType]:
        for number, (first, *others) in enumerate(self.rows):
            if number in self.sections:
                yield ""
            named = f"{self.headers[0]}: {first}" if self.headers[0] else first
            yield Text(printable(named), overflow="fold", style="bold")
            names = (" ".join(header.split("\n")) for header in self.headers[1:])
            yield fields((name, cell) for name, cell in zip(names, others, strict=True) if cell)


def fields(pairs: Iterable[tuple[str, str]]) -> RenderableType:
    """Names and what belongs to them, a line each; a longer one goes on below where it began."""
    block = Table.grid(padding=(0, 2), pad_edge=True)
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    for name, value in pairs:
        block.add_row(Text(printable(name)), Text(printable(value)))
    return block


def _numbers(cells: Sequence[str]) -> bool:
    """Whether a column holds nothing but numbers, and some."""
    return any(cells) and all(cell[:1].isdigit() or cell[:1] in "-+<>" for cell in cells if cell)
