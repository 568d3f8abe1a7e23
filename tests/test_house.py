"""The house itself: imports go one way, and files stay small."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lstm_jax"
# Each may import those before it in the list, and itself.
FLOORS = [
    *(
        "stops",
        "checked",
        "console",
        "files",
        "text",
        "shapes",
        "sharding",
        "settings",
        "orthogonal",
        "cell",
        "recurrence",
        "variants",
        "dropouts",
        "machine",
        "memory",
        "kernels.scan",
        "kernels.derivatives",
        "kernels.xla",
        "kernels.cpu",
        "kernels",
        "lstm",
    ),
    *("layers", "pooling", "classifier", "train.config", "train.folder", "train.optimizer"),
    *("train.settings", "train.inputs", "train.lock"),
    *("train.batching",),
    *("train.metrics", "train.adversarial", "train.objective", "train.step", "train.prediction"),
    *("train.calibration", "train.advice"),
    *(
        "train.arrays",
        "train.checkpoints",
        "train.divergence",
        "train.progress",
        "train.report",
        "train.fit",
        "train.open_run",
        "train.language_model",
        "train.halves",
        "train.start",
        "train.pretraining",
        "train.loop",
    ),
    *(
        "run",
        "linear",
        "teacher",
        "interop.weights",
        "interop.flax",
        "interop.keras",
        "interop.torch",
    ),
    *(
        "interop.onnx_constants",
        "interop.onnx_lstm",
        "interop.onnx",
        "interop.stablehlo",
        "interop.export",
        "interop",
    ),
    *("command_line", "metric_tables", "resume", "cli", "__main__"),
]
# Those that stand on the ground: they import nothing of ours.
FREE = {"stops", "checked", "console", "shapes", "sharding", "settings", "orthogonal"}


def floor_of(module: str) -> str:
    """The floor that a dotted module name (without `lstm_jax.`) belongs to."""
    return "text" if module.split(".")[0] == "text" else module


def imports(path: Path) -> set[str]:
    """The modules of ours, without `lstm_jax.`, that a file imports, and those of others."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            if node.module in ("lstm_jax", "lstm_jax.kernels", "lstm_jax.text"):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {
                    m
                    for m in modules
                    if (PACKAGE.parent / m.replace(".", "/")).with_suffix(".py").exists()
                }
    return found


def is_module(name: str) -> bool:
    """Whether a dotted name is one of our files, and not a name in one."""
    return (PACKAGE.parent / (name.replace(".", "/") + ".py")).exists()


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__")
        yield name.rstrip("."), path


def test_imports_go_one_way():
    for name, path in modules():
        if not name or name == "train":
            continue
        floor = floor_of(name)
        for imported in imports(path):
            if not imported.startswith("lstm_jax."):
                continue
            target = floor_of(imported.removeprefix("lstm_jax."))
            if target == floor:
                continue
            assert floor not in FREE, f"{name} imports {imported}"
            assert target in FLOORS[: FLOORS.index(floor)], f"{name} imports {imported}"


def test_text_imports_no_jax():
    for name, path in modules():
        if floor_of(name) == "text":
            heavy = {m for m in imports(path) if m.split(".")[0] in ("jax", "flax", "optax")}
            assert not heavy, f"{name} imports {heavy}"


def calls(folder: Path):
    """Every call in the Python files of a folder, and the file."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path, node


def test_nothing_is_printed_as_markup():
    # Text goes through `say` and tables through `Sheet`, which show it as it is.
    for folder in (PACKAGE, PACKAGE.parent / "experiments"):
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


def test_no_file_is_much_over_400_lines():
    for path in [path for kind in ("*.py", "*.cc", "*.h") for path in PACKAGE.rglob(kind)]:
        name = path.name
        assert len(path.read_text().splitlines()) <= 420, name
