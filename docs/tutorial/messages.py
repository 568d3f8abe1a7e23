"""Writes the made-up customer messages of own-file.md: `python docs/tutorial/messages.py [FOLDER]`.

A message belongs to the department that has to solve its open problem. Many messages also mention
a problem of another department that is settled, so the order of the words decides. Some messages
have two open problems, and some have a wrong department, as in any file that people have filled in.
`messages.csv` is as Excel saves it in Germany, and three of its rows are broken.
"""

import csv
import io
import random
import sys
from pathlib import Path

HEADER = ("id", "received", "message", "department")
ROWS = {"messages.csv": 1_500, "test.csv": 400, "new.csv": 200}
WRONG = 0.06  # of the rows have the department of another
TWO_PROBLEMS = 0.04  # of the messages have two open problems
SETTLED = 0.5  # of the messages mention a problem that is settled

OPEN = {
    "billing": (
        "You charged me twice for {order}.",
        "The invoice for the {thing} has the wrong amount.",
        "I still need a receipt for {order} for my tax return.",
        'Why does my bank statement say "{shop}" again in {month}?',
        "The discount code was not taken off the price of the {thing}.",
        "I would like to pay for the {thing} by bank transfer instead of by card.",
        "My card was declined, and now I get a reminder for {order}.",
        "The money for {order} has not been paid back to me.",
    ),
    "delivery": (
        "The {thing} should have been here in {month}, and the tracking has not moved since.",
        "The driver left {order} with a neighbour whom I do not know.",
        "Please send the {thing} to my new address in {town}.",
        "Can {order} arrive on a Saturday?",
        "According to the tracking, {order} has been in {town} for nine days.",
        "Only one of the two boxes of {order} has come.",
        "When will the {thing} be sent?",
        "Nobody rang the bell, and the {thing} went back to the depot in {town}.",
    ),
    "returns": (
        "The {thing} is smaller than in the picture, and I want to exchange it.",
        "I would like to send the {thing} back.",
        "The label for sending back {order} cannot be printed.",
        "The {thing} arrived with a crack, so I need another one.",
        "How long may I try the {thing} before it is too late to give it back?",
        "I ordered the {thing} in blue and unpacked a green one.",
        "Where do I take the parcel if I do not want to keep {order}?",
        "I have changed my mind about {order}. What now?",
    ),
    "technical": (
        "The {thing} does not switch on any more.",
        "After the update of {day} {month} the app closes as soon as I open it.",
        'The display of the {thing} shows "Error {error}".',
        "The {thing} does not find our wireless network in {town}.",
        "The {thing} gets hot and smells when it is charging.",
        "How do I set the clock of the {thing}?",
        "The battery of the {thing} is empty after an hour.",
        "Which cable fits the {thing}?",
    ),
    "account": (
        "I cannot sign in since {day} {month}, although I have asked for a new password.",
        "Please delete everything that you have stored about customer {customer}.",
        "My e-mail address has changed on {day} {month}. How do I enter the new one?",
        "Since {day} {month} I get your newsletter, and I do not want it.",
        "On {day} {month} somebody in {town} has signed in under my name.",
        "I have two accounts and would like to keep only number {customer}.",
        "The code for signing in did not come to my phone on {day} {month}.",
        "My name is spelt wrong under number {customer}: it is {name}.",
    ),
}
BEFORE = ("", "Hello, ", "Good morning. ", "Dear team,\n", "Hi, ")
BEHIND = ("", "", " Thanks, {name}", "\nKind regards\n{name}", " Please answer soon.")
# Where the open problem stands, and where the one that is settled.
BOTH = (
    "{settled} That is settled by now. {open}",
    "{open} This is settled by now: {settled}",
    "I wrote to you before: {settled} Forget that. {open}",
    "{open} Forget what I wrote to you before: {settled}",
)
WORDS = {
    "thing": (
        *("kettle", "headset", "lamp", "coffee machine", "radio", "tablet", "toaster", "blender"),
        *("camera", "watch", "vacuum cleaner", "speaker", "heater", "printer", "electric blanket"),
    ),
    "shop": ("Kaufladen GmbH", "KAUFLADEN*ONLINE"),
    "month": ("January", "February", "March", "April", "May", "June"),
    "town": ("Köln", "Zürich", "Graz", "Münster", "Lübeck", "Basel"),
    "name": ("A. Müller", "J. Weiß", "Zoë Schröder", "K. Groß", "Björn H.", "M. Lefèvre"),
}


def main() -> None:
    """Writes the three files."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    write_files(folder)


def write_files(folder: Path) -> None:
    """Writes `messages.csv`, `test.csv` and `new.csv`, which has no departments, into a folder."""
    for seed, (name, count) in enumerate(ROWS.items()):
        draw = random.Random(seed)
        rows = [(str(10_000 * seed + n), received(draw), *message(draw)) for n in range(count)]
        lines = [line_of(row) for row in [HEADER, *rows]]
        if name == "messages.csv":
            lines = broken(lines)
        if name == "new.csv":
            lines = [line_of(row[:-1]) for row in [HEADER, *rows]]
        content = "".join(lines).encode("utf-8-sig")
        (folder / name).write_bytes(content)


def message(draw: random.Random) -> tuple[str, str]:
    """A message and its department."""
    department, other = draw.sample(sorted(OPEN), 2)
    texts, kind = [draw.choice(OPEN[department]), draw.choice(OPEN[other])], draw.random()
    if kind < TWO_PROBLEMS:
        problem = " ".join(draw.sample(texts, 2))
    elif kind < TWO_PROBLEMS + SETTLED:
        problem = draw.choice(BOTH).format(open=texts[0], settled=texts[1])
    else:
        problem = texts[0]
    text = draw.choice(BEFORE) + problem + draw.choice(BEHIND)
    if draw.random() < WRONG:
        department = other
    values = {name: draw.choice(words) for name, words in WORDS.items()}
    values |= {"day": str(draw.randrange(1, 29)), "customer": str(draw.randrange(10_000, 99_999))}
    values["thing"] += f" {draw.randrange(100, 1000)}"
    values["order"] = f"order {draw.randrange(10_000, 99_999)}"
    return text.format(**values, error=draw.randrange(10, 100)), department


def received(draw: random.Random) -> str:
    """A date as it is written in Germany."""
    return f"{draw.randrange(1, 29):02}.{draw.randrange(1, 7):02}.2025"


def line_of(row: tuple[str, ...]) -> str:
    """A row as it stands in the file."""
    text = io.StringIO()
    csv.writer(text, delimiter=";").writerow(row)
    return text.getvalue()


def broken(lines: list[str]) -> list[str]:
    """The lines with three rows that cannot be used."""
    changed = list(lines)
    changed[200] = "199;03.02.2025;The parcel\r\n"  # cut off
    changed[700] = "699;14.03.2025;Hello; where is order 4711?;delivery\r\n"  # no quotes
    changed[1200] = '1199;05.05.2025;"The lamp flickers.";\r\n'  # no department
    return changed


if __name__ == "__main__":
    main()
