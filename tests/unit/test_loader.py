from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import importing
from taskq.loader import AppImportError, load_app
from tests.kit.messages import missing, naming

PROGRAM = """
from taskq import TaskQueue
queue = TaskQueue("loaded", broker="embedded:/nowhere")

@queue.task
def one(n):
    return n

handle = one(1)
many = one.map(range(3))
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) is None or str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def write(here: Path, name: str, text: str) -> None:
    path = here / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_calls_at_the_import_are_not_enqueued(here: Path) -> None:
    write(here, "calls_app.py", PROGRAM)
    app = load_app("calls_app:queue")
    assert app.name == "loaded"
    assert list(app.tasks) == ["calls_app.one"]
    assert len(sys.modules["calls_app"].many) == 3
    assert not importing.is_importing()


@pytest.mark.parametrize(
    "line",
    [
        "print(handle())",
        "handle.exception()",
        "handle.status()",
        "handle.cancel()",
        "many.results()",
        "many.cancel()",
        "import taskq; taskq.wait([handle])",
        "import asyncio\nasync def main(): await handle\nasyncio.run(main())",
        "queue.workers(2)",
    ],
)
def test_what_would_block_ends_the_import(
    here: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(here, "blocks_app.py", f"{PROGRAM}\n{line}\nraise SystemExit('went on')\n")
    app = load_app("blocks_app:queue")
    assert list(app.tasks) == ["blocks_app.one"]
    assert "blocks_app" in sys.modules
    (record,) = caplog.records
    place = 14 if "async def" in line else 12
    assert f"blocks_app.py:{place}" in record.getMessage()
    assert 'if __name__ == "__main__":' in record.getMessage()


def test_where_an_import_ended_is_a_line_of_the_module(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(here, "main_app.py", f"{PROGRAM}\ndef main():\n    handle()\nmain()\nprint()\n")
    load_app("main_app:queue")
    assert "main_app.py:14," in caplog.text


def test_an_import_that_ended_at_its_last_line_is_not_worth_a_warning(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(here, "last_app.py", f"{PROGRAM}\nprint(\n    handle()\n)\n")
    assert list(load_app("last_app:queue").tasks) == ["last_app.one"]
    assert not caplog.records


def test_packages_and_directories(here: Path) -> None:
    write(here, "space_app/inner/fib.py", PROGRAM)
    write(here, "real_app/__init__.py", "")
    write(here, "real_app/fib.py", PROGRAM)
    assert list(load_app("space_app.inner.fib:queue").tasks) == ["space_app.inner.fib.one"]
    assert list(load_app("real_app.fib").tasks) == ["real_app.fib.one"]
    assert sys.modules["real_app"].fib is sys.modules["real_app.fib"]


def test_further_modules(here: Path) -> None:
    write(here, "base_app.py", PROGRAM)
    write(here, "more_app.py", "from base_app import queue\n@queue.task\ndef two(): ...\n")
    assert list(load_app("base_app:queue", ["more_app"]).tasks) == ["base_app.one", "more_app.two"]


@pytest.mark.parametrize(
    ("text", "spec", "tokens"),
    [
        ("", "missing_app:queue", ["module 'missing_app'"]),
        ("", "missing_dir.app:queue", ["module 'missing_dir'"]),
        ("", "bad_app.py:queue", ["module:attribute", "bad_app:queue"]),
        ("", "bad_app:queue", ["'queue'", "no TaskQueue"]),
        (PROGRAM, "bad_app:que", ["'que'", "bad_app:queue"]),
        (PROGRAM, "bad_app:one", ["Task", "TaskQueue", "bad_app:queue"]),
        (
            PROGRAM + "other = TaskQueue('b')",
            "bad_app",
            ["'bad_app'", "bad_app:queue", "bad_app:other"],
        ),
        ("raise SystemExit(3)", "bad_app:queue", ["'bad_app'", "sys.exit()"]),
        (PROGRAM, "bad_app:", ["'bad_app:'", "bad_app:queue"]),
    ],
)
def test_what_cannot_be_loaded(here: Path, text: str, spec: str, tokens: list[str]) -> None:
    write(here, "bad_app.py", text)
    with pytest.raises(AppImportError) as caught:
        load_app(spec)
    assert not missing(str(caught.value), *tokens)


@pytest.mark.parametrize("line", ["1 / 0", "import not_to_be_found"])
def test_the_users_own_error_comes_with_his_traceback(here: Path, line: str) -> None:
    write(here, "broken_app.py", f"\n{line}\n")
    with pytest.raises(AppImportError, match=naming("'broken_app'", "raised")) as caught:
        load_app("broken_app:queue")
    assert 'broken_app.py", line 2' in caught.value.user_traceback
    assert "loader.py" not in caught.value.user_traceback
    assert "broken_app" not in sys.modules
    assert not importing.is_importing()


SEVERAL = """
from taskq import TaskQueue
queue = TaskQueue("several", broker="embedded:/nowhere", include=["several_mail"])

@queue.task
def order(): ...
"""
ONE_MORE = """
from several_app import queue

@queue.task
def {}(): ...
"""


def test_included_modules_are_imported(here: Path) -> None:
    write(here, "several_app.py", SEVERAL)
    for name in ("mail", "stock"):
        write(here, f"several_{name}.py", ONE_MORE.format(name))
    assert list(load_app("several_app:queue").tasks) == ["several_app.order", "several_mail.mail"]
    assert "several_stock.stock" in load_app("several_app:queue", ["several_stock"]).tasks


def test_an_included_module_that_is_not_there(here: Path) -> None:
    write(here, "several_app.py", SEVERAL)
    with pytest.raises(AppImportError, match=naming("module 'several_mail'")):
        load_app("several_app:queue")


def test_a_point_for_a_colon(here: Path) -> None:
    write(here, "calls_app.py", PROGRAM)
    with pytest.raises(AppImportError, match=naming("calls_app:queue")):
        load_app("calls_app.queue")
    with pytest.raises(AppImportError, match=naming("module 'calls_app.nothing'")):
        load_app("calls_app.nothing")


def test_a_circular_import_is_called_one(here: Path) -> None:
    write(here, "circle_a.py", "from circle_b import f\nqueue = None\n")
    write(here, "circle_b.py", "from circle_a import queue\ndef f(): ...\n")
    with pytest.raises(AppImportError) as caught:
        load_app("circle_a:queue")
    assert "circular import" in caught.value.user_traceback


def test_an_included_module_with_a_queue_of_its_own_is_logged(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = "\n@queue.task\ndef own():\n    pass\n"
    write(here, "shared_app.py", 'from taskq import TaskQueue\nqueue = TaskQueue("inc")\n')
    write(here, "shared_good.py", f"from shared_app import queue\n{tasks}")
    write(here, "shared_own.py", f'from taskq import TaskQueue\nqueue = TaskQueue("inc")\n{tasks}')
    write(here, "shared_none.py", "import shared_own\n")
    load_app("shared_app:queue", ["shared_good", "shared_own", "shared_none"])
    (message,) = caplog.messages
    assert not missing(message, "shared_own", "shared_own.own")
