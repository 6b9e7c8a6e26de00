"""Which thread imports an app: the import of one is none of another's business."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from taskq.importing import app_import, is_importing
from taskq.loader import load_module
from tests.kit.races import together

SLOW = "for _ in range(20_000):\n    pass\nLAST = 1\n"


def test_an_import_that_ends_leaves_that_of_another_thread_alone() -> None:
    began, second_began, ended = threading.Event(), threading.Event(), threading.Event()

    def work(number: int) -> tuple[bool, bool]:
        if number == 0:
            with app_import():
                began.set()
                assert second_began.wait(10)
                during = is_importing()
            ended.set()
            return during, is_importing()
        assert began.wait(10)
        with app_import():
            second_began.set()
            assert ended.wait(10)
            during = is_importing()
        return during, is_importing()

    assert together(work, 2) == [(True, False), (True, False)]


def test_no_thread_is_given_a_module_that_is_half_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for number in range(10):
        name = f"slow_app_{number}"
        (tmp_path / f"{name}.py").write_text(SLOW)

        def load(_: int, name: str = name) -> int:
            return int(load_module(name).LAST)

        assert together(load, 4) == [1] * 4
        del sys.modules[name]
