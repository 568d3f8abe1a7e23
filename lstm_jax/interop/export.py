"""The folder that is shipped: model, tokenizer, and a script that needs nothing of ours.

A folder is only left behind if its script, run in a process of its own, gave the probabilities that
the run gives.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import jax
import numpy as np
from numpy.typing import NDArray

from lstm_jax.data import Padding
from lstm_jax.files import new_folder
from lstm_jax.predictor import Predictor

Format = Literal["onnx", "stablehlo"]
TOLERANCE = 1e-4  # between two probabilities; what float32 leaves open is a hundredth of it

SCRIPT = '''\
"""Prints the label and the probability of each class, a JSON object a text.

    python score.py "a text" "another text"
    python score.py --file texts.txt  (a text a line)
    python score.py - < texts.txt
"""
import itertools, json, os, sys
from pathlib import Path
import numpy as np, {package}
from tokenizers import Tokenizer

FOLDER, CLASSES = Path(__file__).resolve().parent, {classes}
HEAD, TAIL = {head}, {tail}  # of a longer text, only so many tokens from each end are read
CHUNK, BATCH = 1024, max(1, 2**15 // (HEAD + TAIL))  # texts tokenized, and computed, at a time
tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
model = {model}

def score(texts):
    """The probabilities [texts, classes] of any number of texts."""
    texts, scores = list(texts), []
    for start in range(0, len(texts), CHUNK):
        ids = [each.ids for each in tokenizer.encode_batch(texts[start : start + CHUNK])]
        for row in ids:
            del row[HEAD : max(HEAD, len(row) - TAIL)]
        by_length = np.argsort([len(row) for row in ids], kind="stable")
        found = np.empty((len(ids), len(CLASSES)), np.float32)
        for first in range(0, len(ids), BATCH):
            batch = by_length[first : first + BATCH]
            found[batch] = score_ids([ids[n] for n in batch])
        scores.append(found)
    return np.concatenate([np.empty((0, len(CLASSES)), np.float32), *scores])

def score_ids(ids):
    """The probabilities [texts, classes] of lists of token ids, computed at once."""
{rows}
    return np.asarray({probabilities})

def read(arguments):
    """The texts that a command line names, one after the other."""
    if arguments[0] not in ("-", "--file"):
        yield from arguments
        return
    path = 0 if arguments[0] == "-" else arguments[1]
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        yield from (line.rstrip("\\n") for line in file)

if __name__ == "__main__":
    texts = read(sys.argv[1:] or sys.exit(__doc__))
    try:
        while some := list(itertools.islice(texts, CHUNK)):
            for row in score(some):
                by_class = dict(zip(CLASSES, row.tolist()))
                print(json.dumps({{"label": CLASSES[row.argmax()], "probabilities": by_class}}))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has read enough
        os._exit(0)
'''

# How rows are filled up to one width, and how long the model is told that they are.
ROWS = {
    "back": """\
    lengths = np.array([len(row) for row in ids], np.int32)
    width = {width}
    tokens = np.array([row + [0] * (width - len(row)) for row in ids], np.int32)""",
    "front": """\
    lengths = np.full(len(ids), HEAD + TAIL, np.int32)
    tokens = np.array([[0] * (HEAD + TAIL - len(row)) + row for row in ids], np.int32)""",
}


class _Recipe(NamedTuple):
    """What differs between formats: what is needed to write one, and what the script has of it."""

    needs: tuple[str, ...]
    file: str
    package: str
    model: str
    width: str
    probabilities: str


RECIPES: dict[str, _Recipe] = {
    "onnx": _Recipe(
        ("onnx", "onnxruntime"),
        "model.onnx",
        "onnxruntime",
        'onnxruntime.InferenceSession(str(FOLDER / "model.onnx"))',
        "max(1, lengths.max())",
        'model.run(None, {"tokens": tokens, "lengths": lengths})[0]',
    ),
    "stablehlo": _Recipe(
        (),
        "model.stablehlo",
        "jax, jax.export",
        "jax.jit("
        'jax.export.deserialize(bytearray((FOLDER / "model.stablehlo").read_bytes())).call)',
        "2 ** int(max(1, lengths.max()) - 1).bit_length()  # few: each is compiled once",
        "model(tokens, lengths)",
    ),
}


class Proof(NamedTuple):
    """Texts, and the probabilities [N, classes] that the run and the script give them."""

    texts: tuple[str, ...]
    run: NDArray[np.float64]
    script: NDArray[np.float64]


def export_run(run: Predictor, folder: Path, format: Format) -> Proof:
    """Makes a folder that scores texts as the run does, in float32, and proves it.

    It gets its name once it is proved: a process that fails or is killed leaves none of that name.

    Args:
        run: a trained run.
        folder: where to; it must not be there, or be empty.
        format: "onnx", for onnxruntime; or "stablehlo", for JAX on a CPU, GPU or TPU.

    Returns:
        What was compared.

    Raises:
        ValueError: if the folder has something in it, the format is unknown or needs a package
            that is not installed, or it has no counterpart of something in the run.
        RuntimeError: if the script fails, or its probabilities differ from the run's by more than
            1e-4.
    """
    run = in_float32(run)
    with new_folder(folder) as unproved:
        write_folder(run, unproved, format)
        return prove(run, unproved)


def in_float32(run: Predictor) -> Predictor:
    """The same run, rounding nothing to bfloat16."""
    model = replace(run.config.model, precision=None)
    return Predictor(
        run.path,
        replace(run.config, model=model),
        run.class_names,
        run.tokenizer,
        run.params,
        run.temperature,
        run.model.ngrams,
    )


def write_folder(run: Predictor, folder: Path, format: Format) -> None:
    """Writes model, `tokenizer.json` and `score.py`; as `export_run`, without the proof."""
    if format not in RECIPES:
        raise ValueError(f"format must be one of {get_args(Format)}, got {format!r}")
    recipe = RECIPES[format]
    for package in recipe.needs:
        if find_spec(package) is None:
            raise ValueError(
                f"format {format!r} needs the package {package}: pip install 'lstm_jax[interop]'"
            )
    (folder / recipe.file).write_bytes(_model(run, format))
    run.tokenizer.save(folder / "tokenizer.json")
    head, tail = ends(run.config.text.padding)
    script = SCRIPT.format(
        package=recipe.package,
        classes=ascii(run.class_names),
        head=head,
        tail=tail,
        model=recipe.model,
        rows=ROWS[run.config.text.pad].format(width=recipe.width),
        probabilities=recipe.probabilities,
    )
    (folder / "score.py").write_text(script, encoding="ascii")


def _model(run: Predictor, format: Format) -> bytes:
    if format == "onnx":
        from lstm_jax.interop.onnx import classifier_to_onnx  # of the extra `interop`

        return classifier_to_onnx(run).SerializeToString()
    from lstm_jax.interop.stablehlo import classifier_to_stablehlo

    return classifier_to_stablehlo(run)


def ends(padding: Padding) -> tuple[int, int]:
    """How many tokens `Padding.cut` keeps from the beginning and from the end."""
    kept = padding.cut(np.arange(2 * padding.max_length))
    head = int((kept < padding.max_length).sum())
    return head, padding.max_length - head


def prove(run: Predictor, folder: Path) -> Proof:
    """Runs the folder's script in a process of its own, without any path of this one."""
    texts = typical_texts(run)
    # On an accelerator a float32 product may be computed in less.
    with jax.default_matmul_precision("highest"):
        expected = run.predict_proba(texts)
    found = run_script(folder, texts)
    require_close("score.py", texts, (found, expected), TOLERANCE)
    return Proof(texts, expected, found)


def require_close(
    what: str,
    texts: Sequence[str],
    compared: tuple[NDArray[np.floating], NDArray[np.floating]],
    tolerance: float,
) -> None:
    """Refuses what was exported if it does not say what the run says.

    Args:
        what: was run, for the message.
        texts: N of them.
        compared: its probabilities [N, classes], and those of the run.
        tolerance: between two probabilities.

    Raises:
        RuntimeError: naming the text whose probabilities differ most, if they differ by more.
    """
    found, expected = compared
    differences = np.abs(found - expected).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= tolerance:
        raise RuntimeError(
            f"{what} gives {found[worst]} where the run gives {expected[worst]}, which is "
            f"{differences[worst]:.1e} away and must be at most {tolerance}; text: {texts[worst]!r}"
        )


def run_script(folder: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """What `score.py` prints in isolated mode of N texts of a line each: [N, classes]."""
    # An accelerator may be taken by this process.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "score.py", "-"],
        input="".join(f"{text}\n" for text in texts),
        cwd=folder,
        env=environment | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"score.py failed:\n{done.stderr}")
    rows = [json.loads(line)["probabilities"] for line in done.stdout.splitlines()]
    return np.array([list(row.values()) for row in rows])


def typical_texts(run: Predictor) -> tuple[str, ...]:
    """No word, one, many, more than are read, and unknown ones; made of the run's vocabulary."""
    words = run.tokenizer.words(range(3, run.tokenizer.vocabulary_size))
    words = [word for word in words if word.isprintable()] or ["word"]
    repeated = words * (1 + 2 * run.config.text.max_length // len(words))
    longest = " ".join(repeated)[:20_000]
    return (
        "",
        words[0],
        " ".join(words[:20]),
        " ".join(words[-20:]),
        longest,
        f"<br /><br />{words[-1].upper()}: zwölf Grüße, 8/10 \N{CLAPPER BOARD}",
    )
