"""`taskq demo`: plays the story in a directory of its own and prints the verdict."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskq.cli.support.failure import CRASH
from taskq.cli.support.shared import Shared, json_option, pass_shared
from taskq.cli.support.values import Whole

if TYPE_CHECKING:
    from taskq.demo.story import Story


@click.command()
@click.option("-c", "--workers", type=Whole(2), default=2, show_default=True,
              metavar="N", help="Worker processes.")  # fmt: skip
@click.option("--keep", is_flag=True, help="Keep the directory with the journal and the mails.")
@json_option
@pass_shared
def command(shared: Shared, workers: int, keep: bool) -> None:
    """Run the main job from nothing: a broker, workers, real work, a crash, retries, a dead letter.

    Prints what happens as it happens, then a table of what was claimed and found. Exits 1 if a
    claim is false. It lives in a temporary directory and leaves nothing behind.
    """
    from taskq.demo.story import Story

    began = time.monotonic()

    def say(text: str) -> None:
        if shared.verbosity >= 0 and not shared.as_json:
            click.echo(f"{time.monotonic() - began:6.1f} s  {text}")

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that TERM cleans up
    directory = Path(tempfile.mkdtemp(prefix="taskq-demo-"))
    story = Story(directory, say, workers, "info" if shared.verbosity > 0 else "critical")
    try:
        story.run()
    finally:
        signal.signal(signal.SIGTERM, before)
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    _report(shared, story, time.monotonic() - began)
    if keep:
        shared.note(f"kept: {directory}")
    click.get_current_context().exit(0 if story.verdict.holds else CRASH)


def _report(shared: Shared, story: Story, seconds: float) -> None:
    verdict, numbers = story.verdict, story.numbers
    data = {
        "ok": verdict.holds,
        "seconds": round(seconds, 1),
        "numbers": numbers,
        "claims": verdict.as_data(),
    }
    summary = "not every claim holds; please report this table"
    if verdict.holds:
        summary = (
            f"{numbers['enqueued']:,} calls in {seconds:.1f} s: {numbers['lost']} lost, "
            f"{numbers['redelivered']} redelivered, {numbers['duplicates']} run twice"
        )
    shared.show(data, f"\n{verdict}\n\n{summary}")
