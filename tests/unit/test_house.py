"""Rules of the house that no linter checks: sizes, and what tests may look at."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.files import ROOT
from tests.kit.source import functions, modules, parse

MOST_LINES = 300  # of a file
MOST_LINES_OF_A_FUNCTION = 60

# Private names that tests may use, and why.
PRIVATE_ALLOWED = {
    "os._exit": "the standard library's name for it",
    "_replace": "named tuples have it",
    "_Unpickler": "the pure unpickler of the standard library has no other name",
}

# Classes of one name, and why.
SAME_NAME = {"Consumer": "what runs messages in a worker, and what the engine knows of it"}

# Files of the tests that still use others, and why. Entries may only be removed.
PRIVATE_LEFT = {
    "unit/broker/test_loop.py": "whether the loop would spin is known to its selector alone",
    "unit/codec/test_envelope.py": "the unpickler must not be reached: it is replaced",
    "unit/worker/pool/test_launcher.py": "what it says while it waits comes 5 s after its start",
}


def test_files_are_short() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name for name, lines in lengths.items() if lines > MOST_LINES} == set()


def test_functions_are_short() -> None:
    long = [
        f"{name}.{function}: {lines} lines"
        for name, path in modules().items()
        for function, lines in functions(path)
        if lines > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_no_two_classes_have_one_name() -> None:
    found = Counter(
        node.name
        for path in modules().values()
        for node in parse(path).body
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in found.items() if count > 1} == set(SAME_NAME)


def private_uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a module uses a private name of another one, with its line.

    The names that the module itself defines are its own, whatever object they are looked up in.
    """
    own = {name for node in ast.walk(tree) for name in _defined(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            base = node.value.id if isinstance(node.value, ast.Name) else ""
            if base not in ("self", "cls") and node.attr not in own:
                yield node.lineno, f"{base}.{node.attr}" if base == "os" else node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, a.name) for a in node.names if _is_private(a.name))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setattr"):
            for word in node.args[:2]:
                if isinstance(word, ast.Constant) and isinstance(word.value, str):
                    name = word.value.rpartition(".")[2]
                    if _is_private(name):
                        yield node.lineno, name


def _defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield from [node.attr] if ast.unparse(node.value) == "self" else []


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


TESTS = [path for path in sorted((ROOT / "tests").rglob("*.py")) if "benchmarks" not in path.parts]


@pytest.mark.parametrize(
    "path", TESTS, ids=lambda path: path.relative_to(ROOT / "tests").as_posix()
)
def test_tests_ask_public_state(path: Path) -> None:
    used = [each for each in private_uses(parse(path)) if each[1] not in PRIVATE_ALLOWED]
    why = PRIVATE_LEFT.get(path.relative_to(ROOT / "tests").as_posix())
    if why is not None:
        assert used, "it asks public state by now: remove its entry"
        pytest.xfail(why)
    assert used == []


def test_a_private_use_would_be_noticed() -> None:
    source = """
from taskq.client.task import _helper
class Own:
    def __init__(self): self._mine = 1
def test(monkeypatch, thing, own):
    thing._secret
    thing.__dict__
    own._mine
    monkeypatch.setattr(thing, "_limit", 3)
    monkeypatch.setattr("taskq.client.app._limit", 3)
"""
    found = {name for _, name in private_uses(ast.parse(source))}
    assert found == {"_helper", "_secret", "_limit"}


def test_tests_signal_through_the_kit() -> None:
    # os.kill(0, …) is for the whole process group: that of the run, and of who started it
    tests = ROOT / "tests"
    found = {
        str(path.relative_to(tests))
        for path in tests.rglob("*.py")
        for line in path.read_text().splitlines()
        if "os.kill(" in line and "os.getp" not in line
    }
    assert found == {"kit/processes.py", "unit/test_house.py"}
