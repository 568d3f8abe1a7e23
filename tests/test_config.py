"""Settings are numbers that a computer can compute with: in Python, in options, in a file."""

import dataclasses
import json
import sys
import typing

import jax
import numpy as np
import pytest
import small

from lstm_jax import cli
from lstm_jax.train.config import Config


def fields(kind: type, prefix: str = "") -> dict[str, str]:
    """The fields of a configuration and of its parts, "train.epochs", with their types in words."""
    found = {}
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            found |= fields(typing.cast(type, hint), f"{prefix}{name}.")
        else:
            found[prefix + name] = str(hint)
    return found


NUMBERS = [name for name, kind in fields(Config).items() if "float" in kind and "tuple" not in kind]
WHOLE = [name for name, kind in fields(Config).items() if "int" in kind and "tuple" not in kind]


def with_field(name: str, value: object) -> Config:
    config = Config()
    *part, field = name.split(".")
    if not part:
        return dataclasses.replace(config, **{field: value})
    changed = dataclasses.replace(getattr(config, part[0]), **{field: value})
    return dataclasses.replace(config, **{part[0]: changed})


def test_the_fields_with_numbers_are_found():
    assert {"model.forget_bias", "optimizer.learning_rate", "model.embedding_scale"} <= {*NUMBERS}
    assert {"seed", "train.epochs", "train.validation_seed", "model.hidden_size"} <= {*WHOLE}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e39"])
def test_a_setting_is_a_number_that_float32_holds(name, value):
    with pytest.raises(ValueError, match=f"{name.split('.')[-1]} must be .*, got"):
        with_field(name, float(value))


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [-(2**70), 2**63, 10**300])
def test_a_whole_number_has_bounds(name, value):
    with pytest.raises(ValueError, match=f"{name.split('.')[-1]} must be .*, got") as caught:
        with_field(name, value)
    assert len(str(caught.value)) < 200


def test_every_seed_that_is_allowed_is_another():
    assert Config(seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(ValueError, match="seed must be below 4294967296, got 4294967296"):
        Config(seed=2**32)
    keys = [np.asarray(jax.random.key_data(jax.random.key(seed))) for seed in (0, 2**32 - 1)]
    assert (keys[0] != keys[1]).any()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model.forget-bias", "inf"),
        ("--optimizer.learning-rate", "nan"),
        ("--model.embedding-scale", "-inf"),
        ("--train.adversarial", "inf"),
        ("--seed", str(2**63)),
    ],
)
def test_such_a_setting_is_refused_on_the_command_line(
    tmp_path, monkeypatch, capsys, option, value
):
    examples = small.corpus(train=10).train
    rows = [f"{text},{label}" for text, label in zip(examples.texts, examples.labels, strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(["text,label", *rows]))
    arguments = ["train", str(tmp_path / "x.csv"), str(tmp_path / "run"), f"{option}={value}"]
    monkeypatch.setattr(sys, "argv", ["lstm_jax", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said.count("\n") == 1
    assert f"{option} must be" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null", '"1"', "1e39", "1e400"])
def test_such_a_setting_is_refused_in_a_file(tmp_path, value):
    content = json.loads(Config().to_json())
    content["model"]["forget_bias"] = "HERE"
    (tmp_path / "config.json").write_text(json.dumps(content).replace('"HERE"', value))
    with pytest.raises(ValueError, match=r"config\.json: model\.forget_bias must be") as caught:
        Config.load(tmp_path / "config.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("format", "maker"),
    [(1, "version 0.1"), (None, "version 0.1 or older"), (3, "a later version")],
)
def test_a_file_of_another_version_is_refused_by_the_versions_name(tmp_path, format, maker):
    content = {"format": format, "model": {"zoneout": [0.0, 0.0]}, "a_field": "of that version"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    said = (
        rf"config\.json: format must be 2, got {format}: the run was made by {maker} of lstm_jax,"
    )
    with pytest.raises(ValueError, match=said) as caught:
        Config.load(tmp_path / "config.json")
    assert "\n" not in str(caught.value)


def test_a_configuration_is_read_back(tmp_path):
    (tmp_path / "config.json").write_text(small.CONFIG.to_json())
    assert Config.load(tmp_path / "config.json") == small.CONFIG
    assert json.loads(small.CONFIG.to_json())["format"] == 2
