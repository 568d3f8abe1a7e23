"""The command line: what a person types wrong is told in one line, in the words that were typed."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from tyro.conf import Positional, arg

from experiments import ablation, five_classes, long_lag, sequences, stability
from experiments.imdb import command as imdb
from lstm_jax import cli
from lstm_jax.checked import Probability, Seed, checked
from lstm_jax.cli import commands
from lstm_jax.cli.parsing import REMOVED, RENAMED, call, explain, in_options, option_names
from lstm_jax.cli.program import run_command
from lstm_jax.nn import LSTMLayer, TokenEmbedding
from lstm_jax.train.config import Config, TextConfig, TrainConfig

PROGRAMS: dict[str, Callable[[], None]] = {
    "experiments.imdb": imdb.main,
    "experiments.long_lag": long_lag.main,
    "experiments.ablation": ablation.main,
    "experiments.sequences": sequences.main,
    "experiments.stability": stability.main,
    "experiments.five_classes": five_classes.main,
}
LEAKS = ("__", "pydantic", "http", "Traceback", "Errno", "╭", "validation error", "literal")


def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, program=None
) -> str:
    """What a wrong command line is answered with: one line on standard error, and status 2."""
    monkeypatch.setattr(sys, "argv", ["anything", *shlex.split(line)])
    with pytest.raises(SystemExit) as stopped:
        cli.main() if program is None else run_command(PROGRAMS[program], program)
    output = capsys.readouterr()
    assert stopped.value.code == 2
    assert re.fullmatch(r"(reading .*\n)?", output.out)
    prefix = f"{program or 'lstm-jax'}: "
    assert output.err.startswith(prefix)
    assert output.err.endswith("\n")
    assert output.err.count("\n") == 1
    assert not [leak for leak in LEAKS if leak in output.err]
    return output.err.removeprefix(prefix).removesuffix("\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "",
            "no command; the commands are check, train, evaluate, predict, explain, compare",
        ),
        ("trian x.csv run", "no command 'trian'; did you mean train?"),
        ("--resume train", "no command '--resume'; the commands are check, train"),
        ("train", "no DATA and no RUN for train; --help says what is needed"),
        ("train x.csv", "no RUN for train; --help says what is needed"),
        ("train x.csv run more", "unexpected argument 'more' of train"),
        ("train x.csv run --epochs 3", "no option --epochs of train; did you mean --train.epochs?"),
        ("train x.csv run --tran.epochs 3", "did you mean --train.epochs?"),
        ("quantize run x --max-mb inf", "--max-mb must be above 0 and finite, got inf"),
        ("predict run --jsn", "no option --jsn of predict; did you mean --json?"),
        ("train x.csv run --train.epochs", "--train.epochs needs a value"),
        (
            "train x.csv run --train.epochs many",
            "--train.epochs must be a whole number, got 'many'",
        ),
        ("train x.csv run --train.epochs=1.5", "--train.epochs must be a whole number, got '1.5'"),
        ("train x.csv run --text.ngrams 3 x", "--text.ngrams must be whole numbers, got '3 x'"),
        ("predict run --batch-size 2.0 a", "--batch-size must be a whole number, got '2.0"),
        (
            "train x.csv run --optimizer.clip_norm x",
            "--optimizer.clip-norm must be a number or None, got 'x'",
        ),
        (
            "train x.csv run --text.pad middle",
            "--text.pad must be 'front' or 'back', got 'middle'",
        ),
        ("export run out --format onx", "--format must be 'onnx', 'stablehlo' or 'web', got 'onx'"),
        ("train x.csv run", "x.csv: no such file"),
        ("train imbd run", "imbd: no such file; the corpora are imdb, builtin, builtin5"),
        ("evaluate nothing x.csv", "RUN must be a folder with a trained run in it"),
        (
            "train builtin x --distill-from y --train.epochs 1",
            "--train.unlabelled must be above 0 with --distill-from, got 0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_command_line_gets_one_line(line, message, monkeypatch, capsys):
    assert message in said(monkeypatch, capsys, line)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_option_of_an_old_name_is_answered_with_its_new_one(old, new, monkeypatch, capsys):
    lines = {"train": "train x.csv run", "pretrain": "pretrain x.txt run"}
    options = {name: option_names(commands.command(name)).values() for name in lines}
    (name, *_) = [name for name in lines if new in options[name]]
    for typed in (f"{old} 3", f"{old}=3", f"{old.replace('-', '_').replace('__', '--')} 3"):
        found = said(monkeypatch, capsys, f"{lines[name]} {typed}")
        assert found == f"no option {old} of {name}: it is {new} now"
    assert old not in (option for known in options.values() for option in known)


@pytest.mark.parametrize("old", REMOVED)
def test_an_option_that_is_gone_is_answered_with_where_it_went(old, monkeypatch, capsys):
    where = "only lstm_jax.nn.LSTMLayer and TokenEmbedding have it, in Python"
    found = said(monkeypatch, capsys, f"train x.csv run {old} 0.1 0.1")
    assert found == f"no option {old} of train: {where}"
    found = said(monkeypatch, capsys, f"bilstm {old} 0.1 0.1", "experiments.imdb")
    assert found == f"no option {old} of bilstm: {where}"
    field = old.removeprefix("--model.").replace("-", "_")
    has = {*LSTMLayer.__dataclass_fields__, *TokenEmbedding.__dataclass_fields__}
    assert has & {field, field.removesuffix("_dropout")}


# Each option of a number with a value just outside what is allowed, and what is said of it.
LIMITS = {
    "--seed": "-1 at least 0",
    "--text.vocabulary-size": "3 at least 4",
    "--text.ngrams": "0 at least 1",
    "--text.cooccurrence-window": "-1 at least 0",
    "--text.max-length": "0 at least 1",
    "--model.embedding-size": "0 at least 1",
    "--model.embedding-scale": "0.0 above 0",
    "--model.hidden-size": "0 at least 1",
    "--model.layers": "0 at least 1",
    "--model.token-dropout": "1.0 below 1",
    "--model.embedding-dropout": "-0.1 at least 0",
    "--model.ngram-dropout": "1.0 below 1",
    "--model.layer-dropout": "1.0 below 1",
    "--model.output-dropout": "1.0 below 1",
    "--model.chunk-size": "0 at least 1",
    "--model.forget-bias": "inf finite",
    "--optimizer.learning-rate": "0.0 above 0",
    "--optimizer.encoder-learning-rate-multiplier": "0.0 above 0",
    "--optimizer.warmup-steps": "-1 at least 0",
    "--optimizer.clip-norm": "0.0 above 0",
    "--optimizer.weight-decay": "-1.0 at least 0",
    "--train.epochs": "0 at least 1",
    "--train.patience": "-1 at least 0",
    "--train.batch-size": "0 at least 1",
    "--train.buckets": "0 at least 1",
    "--train.validation-fraction": "1.0 below 1",
    "--train.validation-seed": "-1 at least 0",
    "--train.ema-decay": "1.0 below 1",
    "--train.label-smoothing": "1.0 below 1",
    "--train.adversarial": "-1.0 at least 0",
    "--train.unlabelled": "-1 at least 0",
    "--train.accumulate": "0 at least 1",
    "--train.checkpoint-every": "0 at least 1",
    "--train.keep-checkpoints": "0 at least 1",
    "--train.log-every": "0 at least 1",
}
OF_PREDICT = {
    "--batch-size": "0 at least 1",
    "--top-k": "0 at least 1",
    "--threshold": "-0.5 at least 0",
}
OF_DISTRIBUTED = {
    "--distributed.num-processes": "0 at least 1",
    "--distributed.process-id": "-1 at least 0",
}
OF_LONG_LAG = {
    "--hidden-size": "0 at least 1",
    "--batch-size": "0 at least 1",
    "--learning-rate": "0.0 above 0",
    "--halved-after": "0 at least 1",
    "--clip-norm": "0.0 above 0",
    "--forget-bias": "inf finite",
}
CASES = [
    *((None, "train x.csv run", option, limit) for option, limit in LIMITS.items()),
    (None, "train x.csv run", "--seed", f"{2**63} below {2**32}"),
    *((None, "pretrain x.csv run", option, limit) for option, limit in list(LIMITS.items())[:3]),
    *((None, "train x.csv run", option, limit) for option, limit in OF_DISTRIBUTED.items()),
    *((None, "predict run x", option, limit) for option, limit in OF_PREDICT.items()),
    *(("experiments.imdb", "article", option, limit) for option, limit in LIMITS.items()),
    *(("experiments.long_lag", "reber", option, limit) for option, limit in OF_LONG_LAG.items()),
    *(
        (program, start, "--seeds", "-1 at least 0")
        for program, start in {
            "experiments.imdb": "",
            "experiments.long_lag": "reber",
            "experiments.ablation": "x.tar.gz",
            "experiments.stability": "",
            "experiments.five_classes": "",
        }.items()
    ),
]


@pytest.mark.parametrize(("program", "start", "option", "limit"), CASES, ids=str)
def test_every_number_outside_its_limits_is_refused(
    program, start, option, limit, monkeypatch, capsys
):
    value, _, allowed = limit.partition(" ")
    found = said(monkeypatch, capsys, f"{start} {option} {value}", program)
    assert found == f"{option} must be {allowed}, got {value}"


def numeric_options(capsys, monkeypatch, main, line: str) -> set[str]:
    """The options whose help says that they take a number."""
    monkeypatch.setattr(sys, "argv", ["anything", *line.split()])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main()
    return set(re.findall(r"(--[\w.-]+) [^\s│]*(?:INT|FLOAT)", capsys.readouterr().out))


def test_the_limits_above_are_those_of_all_options_with_a_number(capsys, monkeypatch):
    def of(main, line: str) -> set[str]:
        return numeric_options(capsys, monkeypatch, main, line)

    assert of(cli.main, "train --help") == {*LIMITS, *OF_DISTRIBUTED}
    assert of(cli.main, "check --help") == set(LIMITS)
    assert of(cli.main, "pretrain --help") == {*LIMITS, *OF_DISTRIBUTED, "--samples"}
    assert of(cli.main, "predict --help") == set(OF_PREDICT)
    for name in ("evaluate", "compare", "inspect", "export", "completion"):
        assert of(cli.main, f"{name} --help") == set()
    assert of(cli.main, "quantize --help") == {"--max-mb"}
    assert of(imdb.main, "bilstm --help") == {*LIMITS, "--seeds"}
    assert of(long_lag.main, "--help") == {*OF_LONG_LAG, "--seeds"}
    assert all(of(e.main, "--help") == {"--seeds"} for e in (ablation, stability, five_classes))


def test_the_samples_of_a_language_model_are_at_least_one(tmp_path, monkeypatch, capsys):
    (texts := tmp_path / "texts.txt").write_text("one\ntwo\n")
    line = f"pretrain {texts} {tmp_path / 'run'} --objective next_word --samples 0"
    assert said(monkeypatch, capsys, line) == "--samples must be at least 1, got 0"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("program", "line", "message"),
    [
        ("experiments.imdb", "bilsm", "preset must be one of article, bilstm, .* got 'bilsm'"),
        ("experiments.imdb", "pretrained", "^no preset pretrained: it is distilled now$"),
        ("experiments.imdb", "large --seed 1", "^no preset large: it is gone; .*--model.hidden-si"),
        ("experiments.imdb", "--data x.csv", "x.csv: no such file"),
        ("experiments.imdb", "article --epochs 3", "no option --epochs .* mean --train.epochs?"),
        ("experiments.long_lag", "", "no TASK; --help says what is needed"),
        ("experiments.long_lag", "adding", "TASK must be one of reber, .* or all, got 'adding'"),
        ("experiments.ablation", "", "no ARCHIVE; --help says what is needed"),
        ("experiments.stability", "--data x.csv", "x.csv: no such file"),
        ("experiments.five_classes", "--sed 1", "no option --sed; did you mean --seeds?"),
    ],
)
def test_experiments_say_what_is_wrong_as_the_commands_do(
    program, line, message, monkeypatch, capsys
):
    assert re.search(message.replace("?", r"\?"), said(monkeypatch, capsys, line, program))


def test_the_program_is_called_in_its_help_as_it_is_called(monkeypatch, capsys):
    for main, line, usage in (
        (cli.main, "train --help", "usage: lstm-jax train [-h] [TRAIN OPTIONS] DATA RUN"),
        (cli.main, "--help", "usage: lstm-jax [-h]"),
        (imdb.main, "article --help", "usage: python -m experiments.imdb article"),
        (long_lag.main, "--help", "usage: python -m experiments.long_lag [-h] [OPTIONS] TASK"),
    ):
        monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py", *line.split()])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 0
        assert capsys.readouterr().out.startswith(usage)


def test_every_option_of_the_help_is_known_by_its_name(monkeypatch, capsys):
    for name in commands.COMMANDS:
        monkeypatch.setattr(sys, "argv", ["anything", name, "--help"])
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit):
            cli.main()
        shown = set(
            re.findall(r"^[│ ] (?:-\w [^,\n]*, )?(--[a-z][\w.-]*)", capsys.readouterr().out, re.M)
        )
        known = {
            typed
            for typed in option_names(commands.command(name)).values()
            if typed.startswith("--")
        }
        assert known == shown - {"--help"}


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_help_of_a_command_shows_how_it_is_used(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["anything", name, "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    (example,) = re.findall(r"^Example: (.*)$", capsys.readouterr().out, re.M)
    assert example.startswith(f"lstm-jax {name} ")


# The same from Python.


def test_settings_refuse_in_a_sentence():
    for make, message in (
        (lambda: TrainConfig(batch_size=0), "batch_size must be at least 1, got 0"),
        (
            lambda: TextConfig("spaces"),  # pyright: ignore
            "tokenizer must be 'keras', 'punctuation', 'characters' or 'bpe', got 'spaces'",
        ),
        (lambda: TextConfig(ngrams=(5, 0)), "ngrams[1] must be at least 1, got 0"),
        (lambda: TrainConfig(epoch=3), "epoch is no field of this"),  # pyright: ignore
        (lambda: TrainConfig(ema_decay=1.0), "ema_decay must be below 1, got 1.0"),
        (lambda: TrainConfig(adversarial=float("nan")), "adversarial must be finite, got nan"),
        (lambda: Config(seed=2**63), f"seed must be below {2**32}, got {2**63}"),
        (lambda: Config(train=5), "train must be an object, got 5"),  # pyright: ignore
    ):
        with pytest.raises(ValueError) as refused:
            make()
        assert str(refused.value) == message


@checked
class Inner:
    batch_size: int = 3
    share: Probability = 0.5


def command(
    path: Positional[Path],
    /,
    inner: Annotated[Inner, arg(name="")] = Inner(),  # noqa: B008 - frozen
    deeper: Inner = Inner(),  # noqa: B008 - frozen
    lines: Annotated[bool, arg(name="json")] = False,
    seed: Seed = 0,
) -> str:
    """Does nothing."""
    if seed == 1:
        raise ValueError("deeper.batch_size must be that of seed 1; deeper.share and seed are free")
    return f"{path} {inner.batch_size} {deeper.share} {lines}"


def test_options_are_named_as_they_are_typed():
    options = option_names(command)
    assert options == {
        "path": "PATH",
        "batch_size": "--batch-size",
        "share": "--share",
        "deeper.batch_size": "--deeper.batch-size",
        "deeper.share": "--deeper.share",
        "lines": "--json",
        "seed": "--seed",
    }
    of_train = option_names(commands.command("train"))
    for message, expected in (
        ("batch_size must be at least 1, got 0", "--train.batch-size must be at least 1, got 0"),
        ("ngrams[1] must be at least 1, got 0", "--text.ngrams must be at least 1, got 0"),
        (
            "text_column and label_column must differ",
            "--text-column and --label-column must differ",
        ),
        ("a lower optimizer.learning_rate", "a lower --optimizer.learning-rate"),
        ("labels must be 0 or 1", "labels must be 0 or 1"),
        ("train.csv: must be UTF-8", "train.csv: must be UTF-8"),
        ("a/train.epochs: no such file", "a/train.epochs: no such file"),
    ):
        assert in_options(message, of_train) == expected


def test_errors_of_a_command_name_its_options_too():
    assert call(command, ["x", "--deeper.share", "0.25", "--json"], typed="x") == "x 3 0.25 True"
    with pytest.raises(ValueError, match=r"^--deeper\.batch-size must be .* --deeper\.share and"):
        call(command, ["x", "--seed", "1"], typed="x")


def test_an_option_of_several_values_that_gets_too_few_says_how_many():
    def of_two(pair: tuple[float, float] = (0.0, 0.0)) -> float:
        """Does nothing."""
        return sum(pair)

    assert call(of_two, ["--pair", "1", "2"], typed="x") == 3
    with pytest.raises(ValueError, match=r"^--pair needs 2 values$"):
        call(of_two, ["--pair", "1"], typed="x")


def test_the_systems_refusals_begin_with_the_file(tmp_path):
    def refusal(action: Callable[[], object]) -> str:
        with pytest.raises(OSError) as refused:
            action()
        return explain(refused.value)

    missing = tmp_path / "x.csv"
    assert refusal(missing.read_text) == f"{missing}: no such file"
    assert refusal(tmp_path.read_text) == f"{tmp_path}: is a directory"
    assert explain(OSError("no room")) == "no room"


def test_what_comes_from_outside_cannot_steer_the_terminal():
    assert (
        explain(ValueError("a\x1b[31mb\nc\td\u202e schön 例")) == r"a\x1b[31mb c\td\u202e schön 例"
    )
