"""`taskq result`: the result of a call."""

from __future__ import annotations

import os
import sys

import click

from taskq.cli.support.outcome import print_outcome
from taskq.cli.support.shared import Shared, data_options, pass_shared
from taskq.cli.support.target import app_of, conversation, only


@click.command()
@click.argument("id")
@click.option("--wait", is_flag=True, help="Wait until it has finished.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS",
              help="Wait so long at most.")  # fmt: skip
@data_options
@pass_shared
def command(shared: Shared, id: str, wait: bool, timeout: float | None) -> None:
    """Print the result of the call ID. Exits 1 if it failed or has not finished."""
    target = only(shared.broker)
    with conversation(target, autostart=True):
        pass  # an absent broker is told within seconds, not at the end of the reconnect budget
    sys.path.insert(0, os.getcwd())  # classes of the result may live here
    patience = timeout if wait or timeout is not None else 0.0
    print_outcome(shared, app_of(target).handle(id), patience)
