"""`taskq`: the group of all commands. A command is imported when it is used."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from taskq.cli.support.failure import CliError, explain
from taskq.cli.support.shared import CommandGroup, Shared, broker_option, json_option, pass_shared
from taskq.cli.support.usage import usage_as_sentence
from taskq.version import __version__

COMMANDS = {
    "demo": ("taskq.cli.commands.demo", "Run the main job from nothing and show what happened."),
    "worker": ("taskq.cli.commands.worker", "Run the consumers of an app."),
    "broker": ("taskq.cli.commands.broker", "Run a broker in the foreground."),
    "status": ("taskq.cli.commands.status", "Show queues, groups and workers."),
    "call": ("taskq.cli.commands.call", "Enqueue one call of a task."),
    "result": ("taskq.cli.commands.result", "Print the result of a call."),
    "job": ("taskq.cli.commands.job", "Show or cancel one message."),
    "queue": (
        "taskq.cli.commands.queue",
        "List, peek into, limit, pause or purge queues; drop a group.",
    ),
    "dlq": ("taskq.cli.commands.dlq", "List, show, replay or purge dead letters."),
    "bench": (
        "taskq.cli.commands.bench",
        "Measure this machine: enqueue, drain, round trip, depth.",
    ),
    "doctor": ("taskq.cli.commands.doctor", "Find what is wrong, and say how to fix it."),
    "health": ("taskq.cli.commands.health", "Exit 0 if a broker answers, 5 if not."),
}


class LazyGroup(CommandGroup):
    """A group whose commands are modules with an attribute `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options before the command; a mistake in them becomes one sentence."""
        with usage_as_sentence():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; every failure becomes one sentence and an exit code."""
        try:
            with usage_as_sentence():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            raise  # click ends quietly
        except Exception as error:
            known = explain(error)
            if known is not None:
                raise known from error
            if ctx.ensure_object(Shared).verbosity > 0:
                raise
            raise CliError(
                f"taskq has a defect here: {type(error).__name__}: {error}; "
                "run it again as taskq -v … for the traceback, and report that"
            ) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@broker_option
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Say more: debug logs, tracebacks of defects.")
@click.option("-q", "--quiet", is_flag=True, help="Say less: data and errors only.")
@click.version_option(__version__, prog_name="taskq")
@pass_shared
def cli(shared: Shared, verbose: bool, quiet: bool) -> None:
    """taskq, a durable task queue that needs no server to install.

    \b
    taskq worker examples.fib:queue -c 2    run the tasks of an app
    taskq status                            see what is queued
    taskq demo                              see it work
    """
    if verbose and quiet:
        raise click.UsageError("-v and -q exclude each other")
    shared.verbosity = verbose - quiet


def main() -> None:
    """The entry point of the `taskq` command."""
    sys.set_int_max_str_digits(0)  # a result may be any int; this process only prints it
    cli.main(prog_name="taskq")
