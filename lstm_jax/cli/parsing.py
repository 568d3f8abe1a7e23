"""The command line: functions are its commands, their parameters its options.

tyro reads it. What tyro says of a mistake is a box of many lines; here it becomes one line that
names the option as it is typed, for the caller to print.
"""

import dataclasses
import difflib
import inspect
import re
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro
from tyro.conf import Positional

from lstm_jax.console import printable
from lstm_jax.memory import NotEnoughMemory

Command = Callable[..., Any]

# What options were called before version 0.2.
RENAMED = {
    "--text.phrases": "--text.ngrams",
    "--text.window": "--text.cooccurrence-window",
    "--model.phrase-dropout": "--model.ngram-dropout",
    "--optimizer.encoder-rate": "--optimizer.encoder-learning-rate-multiplier",
    "--teacher": "--distill-from",
    "--predict": "--objective",
}
_LAYERS = "only lstm_jax.nn.LSTMLayer and TokenEmbedding have it, in Python"
REMOVED = {
    "--model.zoneout": _LAYERS,
    "--model.weight-dropout": _LAYERS,
    "--model.recurrent-dropout": _LAYERS,
    "--model.variational-dropout": _LAYERS,
}
_POSITIONAL = get_args(Positional[int])[1]


def call(
    commands: Command | Mapping[str, Command],
    arguments: Sequence[str],
    *,
    typed: str,
    description: str | None = None,
) -> Any:
    """Calls a function with what the command line says.

    Args:
        commands: the function, or several by the name that comes first on the command line.
        arguments: the command line, without the program.
        typed: how the program is called, for its help: "python -m lstm_jax".
        description: what the program is, for its help; else the function's docstring.

    Returns:
        What the function returns.

    Raises:
        ValueError: one line, if the command line is wrong, or from the function; either names an
            option as it is typed.
    """
    first = arguments[0] if arguments else ""
    chosen = commands.get(first) if isinstance(commands, Mapping) else commands
    options = {} if chosen is None else option_names(chosen)

    def refuse(event: Any) -> None:
        names = list(commands) if isinstance(commands, Mapping) else []
        if (message := _mistake(event, list(arguments), options, names)) is not None:
            raise ValueError(message)

    with _on_mistake(refuse), _whole_sentences(), naming_options(options):
        how: Any = {"prog": typed, "description": description, "args": arguments}
        if isinstance(commands, Mapping):
            late = {name: _later(command) for name, command in commands.items()}
            function = tyro.extras.subcommand_cli_from_dict(late, **how)
        else:
            function = tyro.cli(_later(commands), **how)
    with naming_options(options):
        return function()


def option_names(command: Command) -> dict[str, str]:
    """What each parameter of a function, and each field of its dataclasses, is called when typed.

    Args:
        command: a function whose parameters have types.

    Returns:
        Names in typing by names in Python: `{"train.batch_size": "--train.batch-size"}`. A
        parameter given by its position is written in capitals.
    """
    return dict(_options("", "", inspect.signature(command).parameters, command))


def _options(
    python: str, typed: str, names: Sequence[str] | Mapping[str, Any], owner: Any
) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(owner, include_extras=True)
    for name in names:
        kind, settings = _unwrapped(hints[name])
        renamed = next(
            (each.name for each in settings if getattr(each, "name", None) is not None), name
        )
        below = f"{typed}{renamed}".replace("_", "-")
        if dataclasses.is_dataclass(kind):
            fields = [field.name for field in dataclasses.fields(kind)]
            prefix = f"{python}{name}." if renamed else python
            yield from _options(prefix, f"{below}." if renamed else typed, fields, kind)
        elif _POSITIONAL in settings:
            yield f"{python}{name}", renamed.upper()
        else:
            yield f"{python}{name}", f"--{below}"


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without what annotates it, and that."""
    if get_origin(hint) is Annotated:
        kind, *settings = get_args(hint)
        return kind, tuple(settings)
    return hint, ()


@contextmanager
def naming_options(options: Mapping[str, str]) -> Generator[None]:
    """Has the errors from inside that settings are to blame for name them as they are typed."""
    try:
        yield
    except NotEnoughMemory as error:
        raise NotEnoughMemory(in_options(str(error), options)) from error
    except ValueError as error:
        message = in_options(str(error), options)
        if message == str(error):
            raise
        raise ValueError(message) from error


# What a message is about: "NAME must ...", "NAME and NAME must ...", "NAME[1] must ...".
_NAME = r"[a-z_]\w*(?:\.\w+)*(?:\[\d+\])?"
_SUBJECT = re.compile(rf"{_NAME}(?:(?:, | and | or ){_NAME})*(?= (?:must|is|needs) )")
_DOTTED = re.compile(r"(?<![\w./\\-])[a-z_]+(?:\.[a-z_]+)+(?![\w./\\])")


def in_options(message: str, options: Mapping[str, str]) -> str:
    """A message that names options as they are typed.

    Args:
        message: one of the package's, such as "batch_size must be at least 1, got 0".
        options: as `option_names` gives them.

    Returns:
        "--train.batch-size must be at least 1, got 0", if that is the one option of this name.
    """

    def name(found: re.Match[str]) -> str:
        plain = re.sub(r"\[\d+\]$", "", found[0])
        if plain in options:
            return options[plain]
        ends = [typed for each, typed in options.items() if each.endswith(f".{plain}")]
        return ends[0] if len(ends) == 1 else found[0]

    if subject := _SUBJECT.match(message):
        message = re.sub(_NAME, name, subject[0]) + message[subject.end() :]
    return _DOTTED.sub(lambda found: options.get(found[0], found[0]), message)


def _later(command: Command) -> Command:
    """A function that takes the same and gives what is to be called.

    So that the errors in reading the command line are told from those of the command.
    """

    @wraps(command)
    def late(*values: Any, **named: Any) -> Callable[[], Any]:
        return partial(command, *values, **named)

    return late


@contextmanager
def _on_mistake(refuse: Callable[[Any], None]) -> Generator[None]:
    """Has tyro tell of a mistake before it prints a box about it."""
    errors = getattr(tyro, "_errors", None)  # not public: without it, the box is what there is
    if errors is None:
        yield
        return
    with errors.on_parse_error(refuse):
        yield


@contextmanager
def _whole_sentences() -> Generator[None]:
    """Has tyro break no line of a help text where a docstring's line ends.

    It keeps the end of a line before one that begins with anything but a letter, as every line of a
    field's docstring does but the first.
    """
    name = "remove_single_line_breaks"
    strings = getattr(tyro, "_strings", None)  # not public: without it, lines end where they end
    before = getattr(strings, name, None)
    if before is None:
        yield
        return
    setattr(strings, name, _joined)
    try:
        yield
    finally:
        setattr(strings, name, before)


def _joined(text: str) -> str:
    """The paragraphs of a docstring, each on one line; an indented one is left as it is."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        each if each.startswith(" ") else " ".join(map(str.strip, each.split("\n")))
        for each in paragraphs
    )


def _mistake(
    event: Any, arguments: list[str], options: Mapping[str, str], commands: Sequence[str]
) -> str | None:
    """What is wrong, in a sentence; None for what tyro has to say itself."""
    chosen = arguments[0] if arguments else ""
    of = f" of {chosen}" if commands and chosen else ""
    match type(event).__name__:
        case "MissingSubcommand":
            return _no_command(chosen, commands)
        case "UnrecognizedArgs":
            return _unrecognized(event.tokens, arguments, options, commands, of)
        case "MissingArgs":
            if commands and chosen not in commands:
                return _no_command(chosen, commands)
            missing = " and no ".join(_typed(each.arg) for each in event.missing_arguments)
            return f"no {missing}{of and f' for {chosen}'}; --help says what is needed"
        case "BadValue":
            count = event.argument.lowered.nargs
            values = f"{count} values" if isinstance(count, int) and count > 1 else "a value"
            return f"{_typed(event.argument)} needs {values}"
        case "InvalidChoice":
            choices = list(event.choices)
            if "None" in choices:  # of a union, in no order
                choices = sorted({*choices} - {"None"})
            allowed = _either([repr(choice) for choice in choices])
            return f"{_typed(event.argument)} must be {allowed}, got {event.value!r}"
        case "InstantiationFailure" if event.argument is None:
            return in_options(_qualified(event.message, options), options)
        case "InstantiationFailure":
            came = " ".join(_values(arguments, event.argument))
            wanted = _wanted(event.argument.lowered.metavar or "")
            return f"{_typed(event.argument)} must be {wanted}, got {came!r}"
        case _:
            return None


def _qualified(message: str, options: Mapping[str, str]) -> str:
    """A dataclass's refusal, its field named with the dataclass that it is in."""
    place = str(getattr(sys.exc_info()[1], "arg", "")).split(".")  # tyro's, being handled
    field = re.match(_NAME, message)
    for start in range(len(place)):
        whole = ".".join([*place[start:], message])
        if field and ".".join([*place[start:], field[0].partition("[")[0]]) in options:
            return whole
    return message


def _unrecognized(
    tokens: Sequence[str],
    arguments: Sequence[str],
    options: Mapping[str, str],
    commands: Sequence[str],
    of: str,
) -> str:
    first = next((token for token in tokens if token.startswith("--")), tokens[0])
    if commands and arguments[0] not in commands:
        return _no_command(arguments[0], commands)
    if first.startswith("-"):
        flag = first.partition("=")[0].replace("_", "-")
        if flag in RENAMED:
            return f"no option {flag}{of}: it is {RENAMED[flag]} now"
        if flag in REMOVED:
            return f"no option {flag}{of}: {REMOVED[flag]}"
        return f"no option {flag}{of}{_hint(flag, list(options.values()))}"
    return f"unexpected argument {first!r}{of}; a text with spaces in it must be in quotes"


def _no_command(given: str, commands: Sequence[str]) -> str:
    """What to say where a command has to be."""
    hint = "" if given.startswith("-") else _hint(given, commands)
    came = f"no command {given!r}" if given else "no command"
    return came + (hint or f"; the commands are {', '.join(commands)}")


def _hint(given: str, known: Sequence[str]) -> str:
    """What may have been meant: the nearest spelling, or an option whose last part is this."""
    last = given.lstrip("-").replace("_", "-")
    ends = [name for name in known if name.rpartition(".")[2] == last]
    near = ends or difflib.get_close_matches(given, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _typed(argument: Any) -> str:
    """An argument as it is typed."""
    if argument.is_positional():
        return argument.field.intern_name.upper()
    return argument.lowered.name_or_flags[-1]


def _values(arguments: Sequence[str], argument: Any) -> list[str]:
    """What was typed behind the last mention of an option."""
    for at in range(len(arguments) - 1, -1, -1):
        flag, equals, value = arguments[at].partition("=")
        if flag.replace("_", "-") in argument.lowered.name_or_flags:
            rest = [*([value] if equals else []), *arguments[at + 1 :]]
            ends = [n for n, each in enumerate(rest) if each.startswith("--")]
            return rest[: ends[0]] if ends else rest
    return list(arguments)


def _wanted(metavar: str) -> str:
    """What tyro calls INT, [FLOAT [FLOAT ...]] or {None}|PATH, in words."""
    words = {"INT": "a whole number", "FLOAT": "a number", "PATH": "a path"}
    kinds = [words.get(kind) or kind for kind in re.findall(r"\w+", metavar)]
    if len(kinds) > 1 and len(set(kinds)) == 1:
        return f"{kinds[0].removeprefix('a ')}s"
    return _either(list(dict.fromkeys(reversed(kinds))))


def _either(words: Sequence[str]) -> str:
    """Words as in "a, b or c"."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def explain(error: Exception) -> str:
    """What an error says, on one line that no terminal takes for a command.

    The system's refusals begin with the file: "x.csv: no such file".
    """
    message = str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        reason = error.strerror[:1].lower() + error.strerror[1:]
        names = [error.filename] if error.filename2 is None else [error.filename, error.filename2]
        message = f"{' -> '.join(map(str, names))}: {reason}".replace(
            "no such file or directory", "no such file"
        )
    return printable(" ".join(message.split("\n")))
