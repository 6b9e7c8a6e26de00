"""The arguments of `taskq call`, and the task that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq.cli.commands.call import find, parse
from taskq.cli.support.failure import USAGE, CliError
from taskq.loader import AppImportError
from tests.kit.messages import naming

APP = """
from taskq import TaskQueue
queue = TaskQueue("x", broker="memory:")
@queue.task
def add(a, b): return a + b
plain = len
"""


@pytest.fixture(autouse=True)
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unit_cli_calls.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_positional_and_keyword_arguments() -> None:
    assert parse(("1", '"a=b"', 'key={"x": [null]}')) == ([1, "a=b"], {"key": {"x": [None]}})


@pytest.mark.parametrize("text", ["hello", "key=hello", "{", ""])
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(CliError, match="is not JSON") as caught:
        parse((text,))
    assert caught.value.exit_code == USAGE


def test_a_name_twice() -> None:
    with pytest.raises(CliError, match="'a' is given twice"):
        parse(("a=1", "a=2"))


def test_by_module_and_function() -> None:
    assert find("unit_cli_calls:add", None).name == "unit_cli_calls.add"


@pytest.mark.parametrize("name", ["unit_cli_calls.add", "add"])
def test_by_name_in_an_app(name: str) -> None:
    assert find(name, "unit_cli_calls:queue").name == "unit_cli_calls.add"


@pytest.mark.parametrize(
    ("name", "spec", "tokens"),
    [
        ("unit_cli_calls:plain", None, ["plain", "builtin_function_or_method"]),
        ("unit_cli_calls:none", None, ["'none'", "add"]),
        ("unit_cli_calls:", None, ["module:function"]),
        (":add", None, ["module:function"]),
        ("add", None, ["--app"]),
        ("sub", "unit_cli_calls:queue", ["sub", "unit_cli_calls.add"]),
    ],
)
def test_no_such_task(name: str, spec: str | None, tokens: list[str]) -> None:
    with pytest.raises(CliError, match=naming(*tokens)) as caught:
        find(name, spec)
    assert caught.value.exit_code == USAGE


def test_no_such_module() -> None:
    with pytest.raises(AppImportError):
        find("unit_cli_nowhere:add", None)
