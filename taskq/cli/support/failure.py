"""How a command fails: its exit codes, and one sentence that says what to do."""

from __future__ import annotations

from typing import IO, Any

import click

from taskq import errors
from taskq.environment import InvalidVariable
from taskq.texts import escape_controls

CLEAN, CRASH, USAGE, UNREACHABLE, RUNNING, UNHEALTHY = 0, 1, 2, 3, 4, 5


class CliError(click.ClickException):
    """Ends the command with one sentence on standard error.

    Args:
        sentence: what was wrong and what to do.
        code: exit code.
        details: shown above the sentence, for instance the user's own traceback.

    Either may hold a text of a task; what would command the terminal is printed as an escape.
    """

    def __init__(self, sentence: str, code: int = CRASH, details: str = "") -> None:
        super().__init__(sentence)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance
        self.details = details

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it."""
        if self.details:
            click.echo(escape_controls(self.details.rstrip("\n")), file=file, err=True)
        super().show(file)

    def format_message(self) -> str:
        """The sentence as it is printed."""
        return escape_controls(super().format_message())


def explain(error: Exception) -> CliError | None:
    """The error to print for an exception; `None` for a defect of taskq itself."""
    from taskq.loader import AppImportError

    if isinstance(error, CliError):
        return error
    if isinstance(error, InvalidVariable):
        return CliError(str(error), USAGE)
    if isinstance(error, AppImportError):
        return CliError(str(error), USAGE, error.user_traceback)
    if isinstance(error, errors.BrokerUnavailable | errors.AuthenticationFailed):
        return CliError(str(error), UNREACHABLE)
    if isinstance(error, errors.BrokerRunning):
        return CliError(str(error), RUNNING)
    if isinstance(error, errors.TaskqError):
        return CliError(str(error) or type(error).__name__, CRASH)
    if isinstance(error, OSError) and error.strerror:
        return CliError(f"{error.strerror}: {error.filename or 'the system refused'}", CRASH)
    return None
