"""`taskq doctor`: what is wrong, and how to fix it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click

from taskq.cli.support.checks import examine
from taskq.cli.support.failure import UNHEALTHY
from taskq.cli.support.finding import Finding
from taskq.cli.support.shared import Shared, data_options, pass_shared
from taskq.cli.support.target import Target, base_directory, choose


@click.command()
@data_options
@pass_shared
def command(shared: Shared) -> None:
    """Look for everything that commonly goes wrong; exit 5 when something is.

    Looks at every broker, unless --broker says which. One that has left because it was idle is
    started, since only its journal knows what waits; others are not. Changes nothing.
    """
    targets = choose(shared.broker)
    reports: dict[Target | None, list[Finding]] = {}
    for each in targets:
        choice = shared.broker or (each.name if len(targets) > 1 else None)
        reports[each] = examine(each, f" --broker {shlex.quote(choice)}" if choice else "")
    if not targets:
        sentence = f"no broker has run below {base_directory()} yet"
        reports = {None: [Finding("broker", sentence, "start a worker, or try: taskq demo")]}
    wrong = any(finding.wrong for findings in reports.values() for finding in findings)
    shared.show(_as_data(reports, wrong), _lines(reports))
    click.get_current_context().exit(UNHEALTHY if wrong else 0)


def _lines(reports: dict[Target | None, list[Finding]]) -> Iterator[str]:
    for target, findings in reports.items():
        if target is not None:
            yield f"{target.name} ({target.url})"
        for finding in findings:
            yield from finding.lines()


def _as_data(reports: dict[Target | None, list[Finding]], wrong: bool) -> dict[str, object]:
    return {
        "healthy": not wrong,
        "brokers": [
            {
                "name": target.name if target else None,
                "url": target.url if target else None,
                "findings": [finding.as_data() for finding in findings],
            }
            for target, findings in reports.items()
        ],
    }
