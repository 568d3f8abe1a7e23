"""The script of docs/how-to/score-with-ray.md on a local cluster: each row gets its own score."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas
import pytest
import small

from lstm_jax.predictor import load

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "score-with-ray.md"
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs ray: pip install 'lstm_jax[ray]'"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The script, a run, a folder of texts, and one in which a text is missing."""
    folder = tmp_path_factory.mktemp("ray")
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (folder / "score.py").write_text(script, encoding="utf-8")
    small.train(small.CONFIG, small.corpus(), folder / "run")
    texts = small.corpus(train=90, seed=1).train.texts
    rows = pandas.DataFrame({"id": range(90), "text": texts})
    for name, parts in (("texts", (rows[:50], rows[50:])), ("gaps", (rows[:3], rows[3:6]))):
        (folder / name).mkdir()
        for number, part in enumerate(parts):
            part.to_parquet(folder / name / f"{number}.parquet")
    pandas.DataFrame({"id": [7], "text": [None]}).to_parquet(folder / "gaps" / "2.parquet")
    return folder


@pytest.fixture(scope="module")
def scored(folder) -> dict[str, tuple[int, str]]:
    """Status and complaints of the script for both folders of texts, each on its own cluster."""
    files = tempfile.mkdtemp(prefix="ray")  # the path of a socket in it must be short
    environment = os.environ | {
        "RAY_ADDRESS": "local",
        "RAY_TMPDIR": files,
        "RAY_AUTH_MODE": "disabled",  # else it writes a token into the home folder
        "RAY_USAGE_STATS_ENABLED": "0",
        "JAX_PLATFORMS": "cpu",
    }
    programs = {
        texts: subprocess.Popen(
            [sys.executable, "score.py", "run", texts, f"scores of {texts}"],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for texts in ("texts", "gaps")
    }
    try:
        said = {texts: each.communicate(timeout=240)[1] for texts, each in programs.items()}
    finally:
        for each in programs.values():
            each.kill()
        shutil.rmtree(files, ignore_errors=True)
    return {texts: (programs[texts].returncode, errors) for texts, errors in said.items()}


def test_every_row_comes_back_once_with_what_the_run_predicts(folder, scored):
    status, errors = scored["texts"]
    assert status == 0, errors
    rows = pandas.read_parquet(folder / "texts").sort_values("id")
    found = pandas.read_parquet(folder / "scores of texts").sort_values("id")
    assert found["id"].tolist() == list(range(90))
    assert found["text"].tolist() == rows["text"].tolist()
    model = load(folder / "run")
    assert found["predicted"].tolist() == model.predict(rows["text"]).tolist()
    columns = [f"probability_{name}" for name in model.class_names]
    assert found.columns.tolist() == ["id", "text", "predicted", *columns]
    np.testing.assert_allclose(found[columns], model.predict_proba(rows["text"]), atol=1e-6)


def test_what_a_worker_raises_ends_the_script_and_is_said(scored):
    status, errors = scored["gaps"]
    assert status == 1
    refusals = re.findall(r"^ValueError: .*", errors, re.M)
    assert refusals
    for refusal in refusals:  # which row it is depends on how Ray puts blocks together
        assert re.fullmatch(r"ValueError: texts\[[06]\] must be a string, got NoneType", refusal)
