"""The house itself: imports go one way, and files and functions stay small."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lstm_jax"
PROGRAMS = ("lstm_jax", "experiments", "benchmarks")
STANDARD = sys.stdlib_module_names

# The storeys, from the top; each may import itself and those named.
GROUND = ("stops", "checked", "console", "files", "memory", "machine", "scikit")
CORE = ("shapes", "sharding", "orthogonal", "cell", "recurrence", "variants", "kernels", "lstm")
FREE_GROUND = {"stops", "checked", "console", "memory", "machine", "scikit"}
FREE = FREE_GROUND | {"shapes", "sharding", "orthogonal"}
BELOW_RECIPES = "sequences predictor train models data text nn core ground"
STOREYS = {
    "benchmarks": "experiments front cli explain reports recipes " + BELOW_RECIPES,
    "experiments": "front cli explain reports recipes " + BELOW_RECIPES,
    "front": "cli recipes predictor core ground",
    "estimators": "recipes predictor data ground",
    "serve": "explain predictor train data text ground",
    "explain": "reports train models data text nn core ground",
    "cli": "serve explain reports interop recipes predictor train models data text ground",
    "recipes": "reports predictor train models data text nn core ground",
    "reports": "train data text ground",
    "sequences": "train models data nn core ground",
    "interop": "reports sequences predictor train models data text nn core ground",
    "predictor": "train models data text nn core ground",
    "train": "models data text nn core ground",
    "models": "nn core text ground",
    "nn": "core text",
    "data": "text ground",
    "text": "ground",
    "core": "",
    "ground": "",
}
# What else is imported: from where, what, and why that does no harm.
EXCEPTIONS = {
    ("lstm_jax.lstm", "lstm_jax.machine"),  # refuses to compute in a forked process
    ("lstm_jax.predictor", "lstm_jax.explain.explanation"),  # run.explain(text)
    ("lstm_jax.predictor", "lstm_jax.explain.names"),  # its types
    ("lstm_jax.data.imdb", "lstm_jax.data.imdb_builder"),  # when IMDB is prepared: it is slow
    ("experiments.imdb.command", "experiments.imdb.__main__"),  # whose docstring is its help
}
# The core's own: what of others' it imports.
CORE_LIBRARIES = {"jax", "numpy", "jaxtyping"}
# The public LSTM functions, and what they call with the same arguments; and estimators, which have
# their settings one by one, as scikit-learn wants it.
MANY_PARAMETERS = ("lstm", "recurrence", "cell", "variants", "kernels", "estimators", "sequences")


def modules(*folders: str) -> dict[str, Path]:
    """Every Python file of ours by the name it is imported by."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


OURS = modules(*PROGRAMS)


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere, in functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in OURS else str(node.module))
    return found


def ours(path: Path) -> set[str]:
    """Those of them that are ours."""
    return {name for name in imports(path) if name.split(".")[0] in PROGRAMS}


def storey(module: str) -> str:
    """The storey of a module."""
    program, *names = module.split(".")
    if program != "lstm_jax":
        return program
    if not names or names == ["__main__"]:
        return "front"
    if names[0] in GROUND:
        return "ground"
    return "core" if names[0] in CORE else names[0]


def test_imports_go_one_way():
    for name, path in OURS.items():
        here = storey(name)
        for imported in ours(path):
            allowed = here == storey(imported) or storey(imported) in STOREYS[here].split()
            assert allowed or (name, imported) in EXCEPTIONS, f"{name} imports {imported}"


def test_nothing_imports_in_a_circle():
    graph = {
        name: {each for each in ours(path) if each != name and (name, each) not in EXCEPTIONS}
        for name, path in OURS.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(OURS)


def test_every_exception_is_needed():
    for name, imported in EXCEPTIONS:
        assert imported in ours(OURS[name]), f"{name} does not import {imported}"


@pytest.mark.parametrize("name", sorted(FREE))
def test_what_stands_on_the_ground_imports_nothing_of_ours(name):
    assert ours(OURS[f"lstm_jax.{name}"]) == set()


def test_the_lstm_imports_jax_and_nothing_heavier():
    core = [name for name in OURS if storey(name) == "core"]
    assert {name.split(".")[1] for name in core} == set(CORE)
    for name in [*core, "lstm_jax.machine"]:
        others = {each.split(".")[0] for each in imports(OURS[name])}
        heavy = others - {"lstm_jax"} - CORE_LIBRARIES - STANDARD
        assert not heavy, f"{name} imports {heavy}"


def test_texts_and_data_import_no_jax():
    for name, path in OURS.items():
        if storey(name) in ("text", "data"):
            heavy = {each for each in imports(path) if each.split(".")[0] in ("jax", "flax")}
            assert not heavy, f"{name} imports {heavy}"


def test_texts_and_data_load_no_jax_through_others():
    names = [name for name in OURS if storey(name) in ("text", "data")]
    names.remove("lstm_jax.data.imdb_builder")  # TFDS, loaded where IMDB is prepared
    code = f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\n"
    code += "print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    loaded = set(done.stdout.split())
    assert set(names) <= loaded
    heavy = {"jax", "jaxlib", "flax", "optax", "orbax", "tensorflow", "tensorflow_datasets"}
    assert not heavy & {each.split(".")[0] for each in loaded}


def test_reports_need_of_training_only_its_metrics():
    found = {each for name in OURS if storey(name) == "reports" for each in ours(OURS[name])}
    assert {each for each in found if storey(each) == "train"} == {"lstm_jax.train.metrics"}


def test_every_folder_of_the_library_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("*.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == folders


def test_every_file_beside_the_code_that_is_read_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = project["tool"]["setuptools"]["package-data"]["lstm_jax.reports"]
    assert {path.name for path in (PACKAGE / "reports").glob("*.css")} == set(named)
    patterns = project["tool"]["setuptools"]["package-data"]["lstm_jax.interop.web"]
    beside = {path for path in (PACKAGE / "interop" / "web").iterdir() if path.is_file()}
    matched = {path for pattern in patterns for path in (PACKAGE / "interop/web").glob(pattern)}
    assert {path for path in beside if path.suffix != ".py"} == matched


def calls(folder: Path) -> Iterator[tuple[Path, ast.Call]]:
    """Every call in the Python files of a folder, and the file."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path, node


def test_nothing_is_printed_as_markup():
    # Text goes through `say` and tables through `Sheet`, which show it as it is.
    for folder in (PACKAGE, ROOT / "experiments"):
        for path, call in calls(folder):
            name = ast.unparse(call.func)
            if path.name != "console.py" and name.lower().endswith(
                ("console.print", "console().print")
            ):
                written = ast.unparse(call.args[0])
                assert not written.startswith(("'", '"', "f'", 'f"')), f"{path}: {written}"
            assert path.name == "console.py" or name not in ("Table", "Panel"), f"{path}: {name}"


def test_messages_are_in_one_style():
    for path, call in calls(PACKAGE):
        if ast.unparse(call.func).endswith("Error"):
            message = ast.unparse(call)
            old = re.search(r": \{?.*, but .*(allowed|needed)", message)
            assert not old, f"{path}: {message}; write 'NAME must be WHAT IS ALLOWED, got VALUE'"


@pytest.mark.parametrize("folder", [*PROGRAMS, "tests"])
def test_no_file_has_more_than_400_lines(folder):
    for kind in ("*.py", "*.cc", "*.cu", "*.h", "*.js"):
        for path in (ROOT / folder).rglob(kind):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


@pytest.mark.parametrize("folder", ["lstm_jax", "experiments"])
def test_no_function_has_more_than_seven_parameters(folder):
    for name, path in modules(folder).items():
        if name.split(".")[1:2] and name.split(".")[1] in MANY_PARAMETERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                given, what = parameters(node.args), getattr(node, "name", "a lambda")
                assert len(given) <= 7, f"{name}.{what} has {', '.join(given)}"


def parameters(arguments: ast.arguments) -> list[str]:
    """The names of a function's parameters, but for the object that a method is of."""
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    rest = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return [each.arg for each in [*named, *rest] if each.arg not in ("self", "cls")]
