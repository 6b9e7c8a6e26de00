"""Every Python block of the documents runs, in the order of its page, as one module.

The queues are `memory:` queues, and workers are running from the first statement on that is not a
definition, so the pages can be written for readers and not for this test.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from taskq import TaskQueue

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUNS_ITS_OWN_WORKERS = {"docs/guides/testing.md"}
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEFINITIONS = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def python_blocks(page: Path) -> list[tuple[str, int]]:
    text = page.read_text(encoding="utf-8")
    return [(b[1], text.count("\n", 0, b.start(1))) for b in BLOCK.finditer(text)]


WITH_CODE = [page for page in PAGES if python_blocks(page)]


class Crew:
    """Workers for every queue of a module, renewed when a queue has got a new task."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._at_work: dict[TaskQueue, tuple[int, ExitStack]] = {}

    def keep(self) -> None:
        queues = {each for each in vars(self._module).values() if isinstance(each, TaskQueue)}
        for queue in queues:
            count, stack = self._at_work.get(queue, (0, ExitStack()))
            if len(queue.tasks) != count:
                stack.close()
                stack = ExitStack()
                stack.enter_context(queue.workers(2))
                self._at_work[queue] = len(queue.tasks), stack

    def close(self) -> None:
        for _, stack in self._at_work.values():
            stack.close()
        for queue in self._at_work:
            queue.close()


def statements(source: str, skipped: int) -> Iterator[ast.stmt]:
    """The statements of a block; what stands under `if __name__ == "__main__":` among them."""
    for statement in ast.increment_lineno(ast.parse(source), skipped).body:
        if (
            isinstance(statement, ast.If)
            and ast.unparse(statement.test) == "__name__ == '__main__'"
        ):
            yield from statement.body
        else:
            yield statement


def run_page(page: Path, module: ModuleType, crew: Crew | None) -> None:
    for source, skipped in python_blocks(page):
        for statement in statements(source, skipped):
            if crew is not None and not isinstance(statement, DEFINITIONS):
                crew.keep()
            code = compile(ast.Module([statement], []), str(page), "exec")
            exec(code, vars(module))


@pytest.fixture
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An importable module for a page, so that its tasks travel by name."""
    monkeypatch.setenv("TASKQ_BROKER", "memory:")
    made = ModuleType("docs_page_" + re.sub(r"\W", "_", request.node.name))
    made.__spec__ = ModuleSpec(made.__name__, None)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_python_blocks_run(page: Path, module: ModuleType) -> None:
    crew = Crew(module)
    try:
        run_page(page, module, None if name_of(page) in RUNS_ITS_OWN_WORKERS else crew)
    finally:
        crew.close()


def test_the_program_of_the_readme_prints_its_answer(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    crew = Crew(module)
    try:
        run_page(ROOT / "README.md", module, crew)
    finally:
        crew.close()
    assert capsys.readouterr().out == "746875\n"


def test_the_program_of_the_readme_is_the_example() -> None:
    def core(source: str) -> list[str]:
        """The queue, the task and the call; how the answer is printed is each one's own."""
        kept = (ast.FunctionDef, ast.Assign)
        return [ast.unparse(each) for each in ast.parse(source).body if isinstance(each, kept)]

    example = (ROOT / "examples" / "fib.py").read_text(encoding="utf-8")
    ((program, _),) = python_blocks(ROOT / "README.md")
    assert len(core(program)) == 3
    assert core(program) == core(example)
