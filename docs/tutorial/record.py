"""Records the session of own-file.md again: `python docs/tutorial/record.py [PAGE]`.

Each `console` block of the page begins with `$` and a command. The commands run one after the
other in a new folder, each on a terminal of 80 columns, and what the terminal shows at the end is
written below the command. The seconds that they took go into the table at the end. Needs `pyte`, a
terminal in Python, and Linux or macOS.
"""

import codecs
import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import NamedTuple

from lstm_jax.files import write_text

HERE = Path(__file__).parent
PAGE = HERE / "own-file.md"
COLUMNS, LINES = 80, 1000
BLOCK = re.compile(r"```console\n\$ (?P<command>.*(?:\\\n.*)*)\n(?P<output>(?:.*\n)*?)```\n")
TIMES = re.compile(r"(?<=<!-- times -->\n)(?:.*\n)*(?=<!-- /times -->\n)")
LONG = 10  # a block of more epochs is shortened
# What the page calls them, and what runs.
PROGRAMS = {
    "lstm-jax": [sys.executable, "-m", "lstm_jax"],
    "python": [sys.executable],
}


class Shown(NamedTuple):
    """What a command left on the terminal, and how long it took."""

    text: str
    seconds: float


def main() -> None:
    """Runs the commands of the page and writes what came out."""
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    text, rows = page.read_text(encoding="utf-8"), []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "docs").symlink_to(HERE.parent)

        def recorded(block: re.Match[str]) -> str:
            command = block["command"]
            shown = run(command, folder)
            if command.startswith("lstm-jax"):
                named = command.partition(' "')[0]
                rows.append(f"| `{named}` | {shown.seconds:.0f} |\n")
            print(f"{shown.seconds:6.1f} s  {command}", flush=True)
            return f"```console\n$ {command}\n{shortened(shown.text)}```\n"

        text = BLOCK.sub(recorded, text)
    table = "".join(["\n| command | seconds |\n|---|---|\n", *rows, "\n"])
    write_text(page, TIMES.sub(lambda _: table, text))


def run(command: str, folder: str) -> Shown:
    """Runs a command on a terminal of its own.

    Raises:
        CalledProcessError: if it ends with another status than 0.
    """
    import pyte

    words = shlex.split(command)
    words[:1] = PROGRAMS.get(words[0], words[:1])
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm", "PYTHONPATH": str(HERE.parents[1])}
    environment.pop("COLUMNS", None)
    began = time.monotonic()
    process = subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment
    )
    os.close(slave)
    content = b"".join(iter(lambda: read(master), b""))
    seconds = time.monotonic() - began
    # `pyte` would leave out a line that a byte order mark begins, which terminals do not show.
    stream.feed(content.replace(codecs.BOM_UTF8, b""))
    lines = [line.rstrip() for line in screen.display]
    text = "\n".join(lines).rstrip() + "\n"
    if status := process.wait():
        raise subprocess.CalledProcessError(status, command, text)
    return Shown(text.lstrip("\n"), seconds)


def read(terminal: int) -> bytes:
    """What comes from a terminal; nothing once the other side is closed."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # as Linux says it
        return b""


def shortened(text: str) -> str:
    """The text without the epochs between the first and the last two of many."""
    lines = text.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if re.match(r"epoch \d+ ", line)]
    if len(starts) > LONG:
        lines[starts[2] : starts[-2]] = ["...\n"]
    return "".join(lines)


if __name__ == "__main__":
    main()
