"""Errors in how a command was typed: each becomes one sentence, with a guess at what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

import click

from taskq.cli.support.failure import USAGE, CliError

_NO_ARGUMENTS: type[Exception] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())
_ALIKE = 0.7  # of 1: from here on a name is taken for a misspelt one


@contextmanager
def usage_as_sentence() -> Iterator[None]:
    """Replace the usage errors of click in the block, which take four lines, by one sentence.

    Raises:
        CliError: instead of `click.UsageError`.
    """
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, _NO_ARGUMENTS):  # the help page is the answer
            raise
        raise CliError(_sentence(error), USAGE) from error


def guess(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    return next(iter(get_close_matches(name.lower(), list(known), 1, _ALIKE)), None)


def _sentence(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    if type(error) is click.UsageError and "unexpected extra" not in message:
        return message  # one of ours, which says what to do
    message = message[:1].lower() + message[1:]
    if error.ctx is None:
        return message
    page = f"see: {error.ctx.command_path} --help"
    if isinstance(error, click.NoSuchOption):
        return f"there is no option {error.option_name}; {_other_place(error) or page}"
    is_missing = isinstance(error, click.MissingParameter)  # which click derives from BadParameter
    if isinstance(error, click.BadParameter) and error.param is not None and not is_missing:
        return _bad_value(error, error.param)
    return f"{message}; {page}"


def _other_place(error: click.NoSuchOption) -> str:
    """Where the option stands that was probably meant."""
    context, name = error.ctx, error.option_name
    assert context is not None
    near = guess(name, options_of(context.command))
    if near is not None:
        return f"did you mean {near}?"
    for above in _ancestors(context):
        if name in options_of(above.command):
            rest = context.command_path.removeprefix(above.command_path)
            return f"it stands before the command: {above.command_path} {name}{rest}"
    command = context.command
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None and name in options_of(below):
                return f"it stands behind the command, as in: {context.command_path} {each} {name}"
    return ""


def _ancestors(context: click.Context) -> Iterator[click.Context]:
    above = context.parent
    while above is not None:
        yield above
        above = above.parent


def options_of(command: click.Command) -> list[str]:
    """The names of a command's options."""
    named = [each for each in command.params if isinstance(each, click.Option)]
    return [text for each in named for text in each.opts] + ["--help"]


def _bad_value(error: click.BadParameter, param: click.Parameter) -> str:
    name = "/".join(param.opts) if isinstance(param, click.Option) else param.human_readable_name
    message = error.message.rstrip(".")
    if isinstance(param.type, click.Choice):
        value = message.partition("'")[2].partition("'")[0]
        choices = [str(each) for each in param.type.choices]
        near = guess(value, choices)
        hint = f"; did you mean {near}?" if near else ""
        return f"{name} must be one of {', '.join(choices)}, not {value!r}{hint}"
    return f"{name} {message}" if message.startswith("must ") else f"{name}: {message}"
