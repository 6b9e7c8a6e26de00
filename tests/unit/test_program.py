"""What name a program has for workers; `tests/integration/test_programs.py` starts real ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from taskq import names, program

SOURCE = """
import json
from dataclasses import dataclass
A = B, (C, *D) = 1, (2, 3)
async def task(): inner = 1
class Point:
    x = 1
    def method(self): ...
if True:
    def conditional(): ...
else:
    def alternative(): ...
try:
    with open(__file__) as stream: E: int = 1
except OSError as error:
    def fallback(): ...
for F in range(1): pass
call = (lambda hidden: hidden)(1)
if __name__ == "__main__":
    def guarded(): ...
    G = 1
elif True:
    def otherwise(): ...
"""

Run = Callable[..., ModuleType]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Makes `__main__` the program in a file, as if it had been started from `start`."""

    def make(file: str, text: str = SOURCE, start: str = ".", spec: str = "") -> ModuleType:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (tmp_path / start).mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(tmp_path / start)
        monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
        module = ModuleType("__main__")
        module.__file__ = str(path)
        module.__spec__ = ModuleSpec(spec, None, origin=str(path)) if spec else None
        monkeypatch.setitem(sys.modules, "__main__", module)
        monkeypatch.delitem(sys.modules, "__mp_main__", raising=False)
        return module

    return make


@pytest.mark.parametrize(
    ("file", "start", "name"),
    [
        ("prog_app.py", ".", "prog_app"),
        ("prog_dir/app.py", ".", "prog_dir.app"),
        ("prog_dir/app.py", "prog_dir", "app"),
        ("prog_dir/app.py", "elsewhere", "app"),
        ("prog-dir/app.py", ".", "prog-dir.app"),
        ("prog.d/app.py", ".", "app"),
        ("prog_dir/__main__.py", ".", "prog_dir.__main__"),
        ("prog_dir/__main__.py", "prog_dir", None),
        ("json/prog.py", ".", "prog"),  # the package json is another one
        ("json.py", ".", None),
        ("sys.py", ".", None),
        ("prog.app.py", ".", None),
        ("tool", ".", None),
    ],
)
def test_a_script_is_named_as_a_worker_started_in_the_same_place_would_be(
    run: Run, file: str, start: str, name: str | None
) -> None:
    run(file, start=start)
    assert names.importable_name("__main__") == name


def test_a_directory_of_the_path_is_nearer_than_the_current_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "src")
    run("src/shop/app.py")
    assert names.importable_name("__main__") == "shop.app"


def test_m_gives_the_name(run: Run) -> None:
    run("prog_dir/app.py", spec="prog_dir.app")
    assert names.importable_name("__main__") == "prog_dir.app"


def test_a_profiler_or_a_debugger_has_another_spec(run: Run) -> None:
    module = run("prog_app.py")
    module.__spec__ = ModuleSpec("cProfile", None, origin="/usr/lib/cProfile.py")
    assert names.importable_name("__main__") == "prog_app"


@pytest.mark.parametrize("file", [None, "<stdin>", "/nowhere/prog.py"])
def test_what_no_file_holds_is_not_importable(run: Run, file: str | None) -> None:
    run("prog_app.py").__file__ = file
    assert program.the_program() is None
    assert program.alias() is None


def test_what_an_import_defines(run: Run) -> None:
    run("prog_app.py")
    found = program.the_program()
    assert found is not None
    assert set(found.defines) == {
        *("A", "B", "C", "D", "E", "F", "task", "Point", "conditional", "alternative", "stream"),
        *("fallback", "call", "otherwise"),
    }
    assert program.defines("Point.method")
    assert not program.defines("guarded")


def test_functions_of_the_file_and_others(run: Run) -> None:
    module = run("prog_app.py", "def f(): ...\ndef g(): ...\n")
    assert module.__file__ is not None
    exec(compile("def f(): ...", module.__file__, "exec"), vars(module))
    exec(compile("def g(): ...", "<stdin>", "exec"), vars(module))
    assert (names.module_of(module.f), names.task_name(module.f)) == ("prog_app", "prog_app.f")
    assert (names.module_of(module.g), names.task_name(module.g)) == (None, "__main__.g")


def test_a_task_of_a_program_that_is_not_importable_has_the_name_of_the_file(run: Run) -> None:
    module = run("json.py", "def f(): ...\n")
    assert module.__file__ is not None
    exec(compile("def f(): ...", module.__file__, "exec"), vars(module))
    assert (names.module_of(module.f), names.task_name(module.f)) == (None, "json.f")
    module.__file__ = None
    assert (names.module_of(module.f), names.task_name(module.f)) == (None, "__main__.f")


def test_the_name_outlives_a_change_of_the_directory(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("prog_dir/app.py")
    assert names.importable_name("__main__") == "prog_dir.app"
    monkeypatch.chdir("/")
    assert names.importable_name("__main__") == "prog_dir.app"


def test_the_alias_is_the_program_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    module = run("prog_dir/app.py")
    assert program.alias() is None
    monkeypatch.setattr(sys, "path", sys.path[:])
    program.add_alias()
    try:
        assert sys.modules["prog_dir.app"] is module
        assert program.alias() == "prog_dir.app"
        __import__("prog_dir.app")
    finally:
        for name in ("prog_dir.app", "prog_dir"):
            sys.modules.pop(name, None)
