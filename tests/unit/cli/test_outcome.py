"""How the end of a call is printed."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from taskq.cli.support.failure import CliError
from taskq.cli.support.outcome import failure, print_outcome
from taskq.cli.support.shared import Shared
from taskq.client.handle import ResultHandle
from taskq.client.waiting import UnconsumedWarning
from taskq.codec.errors import RemoteTraceback
from tests.kit.messages import missing


class Handle(ResultHandle[Any]):
    """A handle that behaves as told."""

    def __init__(self, wait: Any) -> None:
        self.id = "abc"
        self.wait = wait

    def exception(self, timeout: float | None = None) -> None:
        self.wait()

    def result(self, timeout: float | None = None) -> str:
        return "the result"


def test_the_remote_traceback_is_shown_as_it_is() -> None:
    error = ValueError('"quoted"')
    error.__cause__ = RemoteTraceback('Traceback …\nValueError: "quoted"\n')
    told = failure("abc", error)
    assert isinstance(told, CliError)
    assert told.details == 'Traceback …\nValueError: "quoted"\n'
    assert not missing(told.message, "abc", 'ValueError: "quoted"')


def test_a_warning_is_a_sentence_without_a_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    def warn() -> None:
        warnings.warn("no worker consumes it", UnconsumedWarning, stacklevel=1)

    print_outcome(Shared(), Handle(warn), None)
    out, err = capsys.readouterr()
    assert (out, err) == ("the result\n", "Warning: no worker consumes it\n")


def test_an_interrupted_wait_says_how_to_come_back() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(CliError, match="taskq result abc --wait"):
        print_outcome(Shared(), Handle(interrupt), None)
