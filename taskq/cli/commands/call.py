"""`taskq call`: one call of a task, from the shell."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, cast

import click

from taskq.cli.support.failure import USAGE, CliError
from taskq.cli.support.outcome import print_outcome
from taskq.cli.support.shared import Shared, data_options, pass_shared
from taskq.cli.support.target import name_for_apps, option_for, silence_import_notes
from taskq.cli.support.usage import guess, options_of
from taskq.cli.support.values import DURATION, MOMENT, PRIORITY
from taskq.client.task import Task

if TYPE_CHECKING:
    from taskq.options.task_options import Overrides

_KEYWORD = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("task")
@click.argument("arguments", nargs=-1, metavar="[JSON | key=JSON]…")
@click.option("--app", "spec", envvar="TASKQ_APP", metavar="APP",
              help="module:attribute, for a TASK given by its name.  [env: TASKQ_APP]")  # fmt: skip
@click.option("--delay", type=DURATION, metavar="5m", help="Run it so much later.")
@click.option("--eta", type=MOMENT, metavar="2030-01-31T18:00",
              help="Run it not before that moment, in local time without a zone.")  # fmt: skip
@click.option("--priority", type=PRIORITY, metavar="NAME|0…3",
              help="critical, high, medium or low.")  # fmt: skip
@click.option("--queue", metavar="NAME", help="Into that queue.  [default: the task's]")
@click.option("--id", metavar="ID",
              help="The id of the message; enqueues nothing while there is one.")  # fmt: skip
@click.option("--wait", is_flag=True, help="Wait, and print the result instead of the id.")
@click.option("--timeout", type=DURATION, metavar="30s", help="Wait so long at most.")
@data_options
@pass_shared
def command(
    shared: Shared,
    /,
    task: str,
    arguments: tuple[str, ...],
    spec: str | None,
    wait: bool,
    timeout: float | None,
    **options: object,
) -> None:
    """Enqueue one call of TASK and print its id.

    TASK is module:function, or the name of a task of --app. Arguments are JSON.

    \b
    taskq call examples.fib:fib 100
    taskq call mail.send --app shop:queue '"ann@example.org"' subject='"Hello"' --delay 5m
    """
    if shared.verbosity <= 0:
        silence_import_notes()
    name_for_apps(shared.broker)
    args, kwargs = parse(arguments)
    found = find(task, spec)
    try:
        given = {name: value for name, value in options.items() if value is not None}
        if given:
            found = found.options(**cast("Overrides", given))
        handle = found(*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise CliError(str(error), USAGE) from error
    if wait or timeout is not None:
        option = option_for(found.app.broker.url, shared.broker)
        print_outcome(shared, handle, timeout, option)
    else:
        data = {"id": handle.id, "queue": found.queue, "task": found.name}
        shared.show(data, handle.id)


def parse(arguments: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments from JSON texts.

    Raises:
        CliError: a text is not JSON, or a name comes twice.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in arguments:
        keyword = _KEYWORD.fullmatch(text)
        if keyword is None:
            args.append(_value(text))
        elif keyword[1] in kwargs:
            raise CliError(f"the argument {keyword[1]!r} is given twice", USAGE)
        else:
            kwargs[keyword[1]] = _value(keyword[2])
    return args, kwargs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        if text.startswith("-"):  # negative numbers look like options, so click lets both pass
            name = text.partition("=")[0]
            context = click.get_current_context(silent=True)
            if context is not None and name in options_of(context.command):
                raise CliError(
                    f"{name} is behind --, where everything is an argument of the task; options of "
                    f"{context.command_path} go before --",
                    USAGE,
                ) from None
            raise click.NoSuchOption(name, ctx=context) from None
        raise CliError(
            f"the argument {text!r} is not JSON; a text has quotes of its own: '\"{text}\"'", USAGE
        ) from None


def find(name: str, spec: str | None) -> Task[..., Any]:
    """The task that is meant.

    Raises:
        CliError: there is none.
        AppImportError: its module cannot be imported.
    """
    from taskq.loader import load_app, load_module

    if ":" in name:
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        module_name, _, qualname = name.partition(":")
        if not module_name or not qualname:
            raise CliError(f"{name!r} is not a task; name it module:function", USAGE)
        found: Any = load_module(module_name)
        for part in qualname.split("."):
            found = getattr(found, part, None)
        if isinstance(found, Task):
            return found
        raise CliError(_no_task(module_name, qualname, found), USAGE)
    if spec is None:
        module_name, _, function = name.rpartition(".")
        example = f"{module_name or 'module'}:{function}"
        raise CliError(
            f"say where the task {name!r} is: as {example}, or with --app module:attribute", USAGE
        )
    return _of_app(name, spec, load_app(spec).tasks)


def _no_task(module: str, name: str, found: object) -> str:
    if found is not None:
        kind = type(found).__name__
        return f"{module}:{name} is of the type {kind}, not a task; decorate a function with @task"
    tasks = [key for key, each in vars(sys.modules[module]).items() if isinstance(each, Task)]
    near = guess(name, tasks)
    hint = f"did you mean {module}:{near}?" if near else f"it has {', '.join(tasks) or 'none'}"
    return f"the module {module!r} has no task {name!r}; {hint}"


def _of_app(name: str, spec: str, tasks: dict[str, Task[..., Any]]) -> Task[..., Any]:
    if name in tasks:
        return tasks[name]
    ends = [full for full in tasks if full.rpartition(".")[2] == name]
    if len(ends) == 1:
        return tasks[ends[0]]
    names = ", ".join(sorted(tasks)) or "none"
    raise CliError(f"{spec} has no task {name!r}; its tasks are: {names}", USAGE)
