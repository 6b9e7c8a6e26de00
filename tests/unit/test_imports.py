"""What `import taskq` pulls in, and who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.files import ROOT
from tests.kit.source import cycles, import_graph, imports_of, packages

HEAVY = [
    "asyncio",
    "click",
    "cloudpickle",
    "concurrent.futures",
    "logging",
    "multiprocessing",
    "redis",
    "rich",
    "sqlite3",
    "subprocess",
    "taskq.backends.embedded",
    "taskq.backends.memory",
    "taskq.broker",
    "taskq.cli",
    "taskq.journal",
    "taskq.worker",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_importing_taskq_pulls_in_nothing_heavy() -> None:
    # -I: a sitecustomize or .pth file of this environment may import what it likes
    code = (
        f"import sys; before = set(sys.modules); sys.path.insert(0, {str(ROOT)!r}); import taskq; "
        "print(*sorted(set(sys.modules) - before))"
    )
    result = run("-I", "-c", code)
    assert result.returncode == 0, result.stderr
    pulled = set(result.stdout.split())
    assert "taskq.client.app" in pulled
    assert [name for name in HEAVY if name in pulled] == []


def test_nobody_imports_what_is_not_below_him() -> None:
    pytest.importorskip("importlinter")
    lint = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    result = run("-c", lint)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_a_wrong_import_would_be_noticed() -> None:
    """The contracts name modules that exist, and the layers leave none of the package out."""
    import tomllib

    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    named = {
        module
        for contract in config["contracts"]
        for entry in (
            *contract.get("layers", ()),
            *contract.get("source_modules", ()),
            *contract.get("forbidden_modules", ()),
        )
        for module in entry.split(" | ")
    }
    for module in named:
        path = ROOT / Path(*module.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), module
    for path in (ROOT / "taskq").glob("[!_]*"):
        module = f"taskq.{path.stem}"
        assert path.name == "py.typed" or any(
            name == module or name.startswith(f"{module}.") for name in named
        ), f"{module} is in no layer: add it to pyproject.toml"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports for types, in functions and by a string count too."""
    assert cycles(import_graph()) == []


def test_no_package_imports_itself_by_way_of_others() -> None:
    assert cycles(packages(import_graph())) == []


def test_a_cycle_would_be_noticed() -> None:
    source = """
from __future__ import annotations
import importlib
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from p.types import T
def late():
    from p import inner
    importlib.import_module("p.named")
"""
    known = dict.fromkeys(["p", "p.types", "p.inner", "p.named", "p.other"])
    assert imports_of(ast.parse(source), known) == {"p.types", "p.inner", "p.named"}
    sets = {"a": "bd", "b": "c", "c": "a", "d": "e", "e": ""}
    graph = {name: frozenset(targets) for name, targets in sets.items()}
    assert cycles(graph) == [["a", "b", "c"]]


INFLATERS = {"bz2", "gzip", "lzma", "tarfile", "zipfile", "zlib", "zstandard", "compression"}


def test_76_nothing_is_inflated_so_there_is_no_bomb_to_cap() -> None:
    # code that compresses payloads has to bound them before it inflates them, and to be listed here
    taken = set()
    for file in (ROOT / "taskq").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            taken |= {name for name in names if name.split(".")[0] in INFLATERS}
    assert taken == {"zlib.crc32"}
