"""The settings of a broker: as a command line, as JSON, and from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from taskq.broker.__main__ import settings_of
from taskq.broker.settings import BrokerSettings
from taskq.cli.commands import broker
from taskq.cli.support.shared import Shared
from tests.kit.messages import missing

ALL = BrokerSettings(
    Path("/d"),
    listen="tcp://[::1]:7411",
    durability="none",
    authkey_file=Path("/k ö"),
    idle_exit=2.5,
    insecure=True,
    max_messages=1,
    max_bytes=2**31,
    max_results=0,
    max_result_bytes=3,
    ready_fd=7,
    detach=True,
)


def parsed(*arguments: str) -> BrokerSettings:
    """What `taskq broker` makes of that command line."""
    shared = Shared()
    context = broker.command.make_context("broker", [*arguments], obj=shared)
    return broker.settings_of(shared, **context.params)


@pytest.mark.parametrize(
    "settings", [ALL, BrokerSettings(Path("/d")), BrokerSettings(Path(os.fsdecode(b"/\xff/\xc3(")))]
)
def test_settings_arrive_as_they_were_sent(settings: BrokerSettings) -> None:
    assert settings_of([settings.to_json()]) == settings


@pytest.mark.parametrize(
    "wrong", [[], ["--dir", "/d"], ["{}"], ['{"directory":"/d","durability":"much"}']]
)
def test_bad_arguments_leave_with_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        settings_of(wrong)
    assert leaving.value.code == 2
    assert not missing(capsys.readouterr().err, "JSON", "taskq broker --dir DIR")


def test_a_command_line_becomes_settings() -> None:
    assert parsed("--dir", "/d") == BrokerSettings(Path("/d"))
    settings = parsed(
        *("--dir", "/d", "--listen", "tcp://[::1]:7411", "--durability", "none", "--insecure"),
        *("--authkey-file", "/k ö", "--idle-exit", "2.5s", "--max-messages", "1"),
        *("--max-bytes", "2GiB", "--max-results", "0", "--max-result-bytes", "3"),
    )
    assert settings == BrokerSettings.from_json(
        ALL.to_json().replace('"ready_fd":7,"detach":true', '"detach":false')
    )


def test_what_is_not_given_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"MESSAGES": 5, "BYTES": 2**30, "RESULTS": 7, "RESULT_BYTES": 8}
    texts = {"MESSAGES": "5", "BYTES": "1GiB", "RESULTS": "7", "RESULT_BYTES": "8"}
    for name, text in texts.items():
        monkeypatch.setenv(f"TASKQ_MAX_{name}", text)
    monkeypatch.setenv("TASKQ_DURABILITY", "os")
    settings = parsed("--dir", "/d")
    assert settings.durability == "os"
    assert {name: getattr(settings, f"max_{name.lower()}") for name in limits} == limits
    given = parsed("--dir", "/d", "--max-messages", "0", "--max-result-bytes", "9")
    assert (given.max_messages, given.max_bytes, given.max_result_bytes) == (0, 2**30, 9)


@pytest.mark.parametrize(
    ("name", "text"), [("MESSAGES", "-1"), ("BYTES", "much"), ("RESULTS", "1.5")]
)
def test_a_variable_that_cannot_be_read_is_named(name: str, text: str) -> None:
    variable = f"TASKQ_MAX_{name}"
    with pytest.raises(ValueError, match=variable) as refused:
        BrokerSettings(Path("/d")).completed({variable: text})
    assert repr(text) in str(refused.value)
    assert BrokerSettings(Path("/d")).completed({variable: ""}) == BrokerSettings(Path("/d"))


@pytest.mark.parametrize(
    ("wrong", "tokens"),
    [
        ({"durability": "much"}, ["durability", "fsync", "'much'"]),
        ({"idle_exit": -1.0}, ["idle_exit", "-1.0"]),
        ({"max_bytes": -1}, ["max_bytes", "-1"]),
        ({"listen": "http://x"}, ["'http://x'"]),
        ({"listen": "tcp://0.0.0.0:1"}, ["not encrypted", "--insecure"]),
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any], tokens: list[str]) -> None:
    with pytest.raises(ValueError) as refused:
        BrokerSettings(Path("/d"), **wrong)
    assert not missing(str(refused.value), *tokens)
