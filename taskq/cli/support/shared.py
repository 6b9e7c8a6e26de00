"""What every command shares: the options `--broker`, `--json`, `-v`, `-q`, and their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from taskq.cli.support.usage import guess
from taskq.texts import escape_controls

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Shared:
    """The options that stand before the command.

    Attributes:
        broker: URL or name that was asked for, or `None`.
        as_json: print data as one JSON document.
        verbosity: 1 with `-v`, -1 with `-q`.
    """

    broker: str | None = None
    as_json: bool = False
    verbosity: int = 0

    def show(self, data: object, text: str | Iterable[str]) -> None:
        """Print what a command has found: the data with `--json`, else the text.

        Args:
            data: what `output.plain` takes.
            text: for people, or its lines; control characters are printed as escapes.
        """
        if self.as_json:
            from taskq.cli.support.output import emit_json

            emit_json(data)
        else:
            click.echo(escape_controls(text if isinstance(text, str) else "\n".join(text)))

    def note(self, text: str) -> None:
        """Print a remark, which is not data, for people."""
        if self.verbosity >= 0 and not self.as_json:
            click.echo(text, err=True)


class CommandGroup(click.Group):
    """A group of commands that helps with a mistyped name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a guess at a mistyped name, or the names that there are."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            near = guess(args[0], known)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known)}"
            ctx.fail(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


def confirm(question: str) -> None:
    """Ask before something is deleted. Raises `CliError` for anything but yes."""
    from taskq.cli.support.failure import CliError

    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort:
        click.echo(err=True)
        raise CliError("nothing was changed; --yes answers beforehand") from None


pass_shared = click.make_pass_decorator(Shared, ensure=True)


def _keep_broker(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Shared).broker = value


def _keep_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Shared).as_json = True


def broker_option(command: F) -> F:
    """`--broker`, also behind the command."""
    return click.option(
        "--broker",
        metavar="URL|NAME",
        expose_value=False,
        callback=_keep_broker,
        help="Broker URL, or the name of an embedded broker.  [env: TASKQ_BROKER]",
    )(command)


def json_option(command: F) -> F:
    """`--json`, also behind the command."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_keep_json,
        help="Print the data as one JSON document.",
    )(command)


def data_options(command: F) -> F:
    """Both, for the commands that print data of a broker."""
    return broker_option(json_option(command))
