"""What is said of a command that was mistyped: one sentence, with a guess."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import click
import pytest
from click.testing import CliRunner

from taskq.cli.main import COMMANDS, LazyGroup, cli
from taskq.cli.support.failure import USAGE
from taskq.cli.support.values import DURATION, MOMENT, PRIORITY, RATE, SIZE, Whole
from tests.kit.messages import missing


def said(*args: str) -> str:
    """The only line that a wrong command prints."""
    result = CliRunner().invoke(cli, args, prog_name="taskq")
    assert result.exit_code == USAGE, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line.removeprefix("Error: ")


def options(command: click.Command) -> list[str]:
    return [
        text
        for each in command.params
        if isinstance(each, click.Option)
        for text in each.opts
        if text.startswith("--") and len(text) > 4
    ]


def every_command() -> Iterator[tuple[list[str], click.Command]]:
    group = LazyGroup("taskq")
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        yield [name], command
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                assert found is not None
                yield [name, below], found


def misspelt(option: str) -> str:
    """Two letters the other way round."""
    return option[:-2] + option[-1] + option[-2] if option[-1] != option[-2] else option[:-1]


def test_every_misspelt_option_gets_a_suggestion() -> None:
    for path, command in every_command():
        arguments = ["1"] * sum(isinstance(each, click.Argument) for each in command.params)
        for option in options(command):
            wrong = misspelt(option)
            told = said(*path, *arguments, wrong)
            assert not missing(told, wrong, "did you mean --"), (path, told)


@pytest.mark.parametrize(
    ("args", "tokens"),
    [
        (
            ("call", "a:b", "--", "-3", "--wait"),
            ["--wait", "behind --", "before --", "taskq call"],
        ),
        (("call", "a:b", "1", "--dely", "5m"), ["--dely", "--delay"]),
        (("status", "-q"), ["taskq -q status"]),
        (("dlq", "--task", "x", "ls"), ["taskq dlq ls --task"]),
        (("-c", "2", "worker"), ["taskq demo -c"]),
        (("status", "--wonderful"), ["--wonderful", "taskq status --help"]),
        (("job", "show"), ["'ID'", "taskq job show --help"]),
        (("result", "a", "b"), ["(b)", "taskq result --help"]),
        (("worker", "--name"), ["'--name'", "argument"]),
        (("queue", "peek", "q", "--state", "raedy"), ["--state", "'raedy'", "ready"]),
        (("worker", "a:b", "-l", "loud"), ["--log-level", "debug", "info", "'loud'"]),
        (("worker", "a:b", "-c", "0"), ["--concurrency", "at least 1", "'0'"]),
        (("worker", "a:b", "-c", "many"), ["--concurrency", "at least 1", "'many'"]),
        (("worker", "a:b", "--shutdown-timeout", "-1"), ["--shutdown-timeout", "seconds", "'-1'"]),
        (("call", "a:b", "--delay", "-5"), ["--delay", "90s", "'-5'"]),
        (("call", "a:b", "--eta", "soon"), ["--eta", "2030-01-31T18:00", "'soon'"]),
        (("call", "a:b", "--priority", "4"), ["--priority", "critical (0)", "low (3)", "'4'"]),
        (("dlq", "replay", "--all", "--rate", "0"), ["--rate", "greater than zero", "'0'"]),
        (("queue", "limit", "q", "--max-bytes", "lots"), ["--max-bytes", "bytes", "'lots'"]),
        (("broker",), ["--dir DIR"]),
        (("beat",), ["'beat'", "demo", "worker"]),
    ],
)
def test_one_sentence(args: tuple[str, ...], tokens: list[str]) -> None:
    assert not missing(said(*args), *tokens)


def test_without_a_command_there_is_help() -> None:
    result = CliRunner().invoke(cli, [], prog_name="taskq")
    assert "Usage: taskq" in result.output
    assert "Error" not in result.output


def test_values_are_read() -> None:
    def read(type: click.ParamType, text: str) -> object:  # type: ignore[type-arg,unused-ignore]
        return type.convert(text, None, None)

    assert [read(DURATION, text) for text in ("5", "1.5", "5m", "1h30m")] == [5, 1.5, 300, 5400]
    assert read(MOMENT, "2030-01-31T18:00") == datetime(2030, 1, 31, 18)
    assert read(MOMENT, "1900000000") == 1.9e9
    assert [read(PRIORITY, text) for text in ("High", "3")] == [1, 3]
    assert read(RATE, "0.5") == 0.5
    assert read(SIZE, "2KiB") == 2048
    assert read(Whole(2), "2") == 2
    for type, text in ((RATE, "inf"), (RATE, "nan"), (DURATION, "nan"), (MOMENT, "inf")):
        with pytest.raises(click.BadParameter):
            read(type, text)
