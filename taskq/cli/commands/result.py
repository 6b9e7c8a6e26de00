"""`taskq result`: the result of a call."""

from __future__ import annotations

import os
import sys

import click

from taskq.cli.support.conversation import conversation
from taskq.cli.support.outcome import print_outcome
from taskq.cli.support.shared import Shared, data_options, pass_shared
from taskq.cli.support.target import only, option_for
from taskq.cli.support.values import DURATION


@click.command()
@click.argument("id")
@click.option("--wait", is_flag=True, help="Wait until it has finished.")
@click.option("--timeout", type=DURATION, metavar="30s", help="Wait so long at most.")
@data_options
@pass_shared
def command(shared: Shared, id: str, wait: bool, timeout: float | None) -> None:
    """Print the result of the call ID. Exits 1 if it failed or has not finished.

    Run it in the directory of the app if the result has classes of the app in it.
    """
    from taskq.client.app import TaskQueue

    target = only(shared.broker)
    with conversation(target):
        pass  # an absent broker is reported within seconds, not after the reconnect budget
    sys.path.insert(0, os.getcwd())  # classes of the result may live here
    patience = timeout if wait or timeout is not None else 0.0
    handle = TaskQueue(broker=target.url).handle(id)
    print_outcome(shared, handle, patience, option_for(target.url, shared.broker))
