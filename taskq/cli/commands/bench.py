"""`taskq bench`: measures this machine, in a temporary broker directory."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskq.cli.support.shared import Shared, json_option, pass_shared
from taskq.cli.support.values import COUNT

if TYPE_CHECKING:
    from taskq.cli.benchmark.figures import Figures


class ProgressLine:
    """One line on standard error that says what is being measured, if that is a terminal.

    Args:
        total: steps in all.
        shown: draw it.
    """

    def __init__(self, total: int, shown: bool) -> None:
        self._total = total
        self._shown = shown
        self._step = 0

    def step(self, text: str) -> None:
        """The next step begins."""
        self._step += 1
        if self._shown:
            bar = ("█" * self._step).ljust(self._total, "·")
            sys.stderr.write(f"\r\x1b[K{bar} {self._step}/{self._total} {text}")
            sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@click.command()
@click.option("--durability", type=click.Choice(["fsync", "os", "none", "all"]), default="fsync",
              show_default=True, help="The class to measure; all compares them.")  # fmt: skip
@click.option("--dir", "directory", metavar="DIR",
              type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
              help="On the disk to measure.  [default: the temporary directory]")  # fmt: skip
@click.option("-c", "--workers", type=COUNT, default=2, show_default=True,
              metavar="N", help="Worker processes.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A tenth of the messages; the figures are rougher.")
@json_option
@pass_shared
def command(
    shared: Shared, durability: str, directory: Path | None, workers: int, quick: bool
) -> None:
    """Measure this machine: enqueue, bulk, drain, round trip, depth.

    It runs a broker and workers of its own and leaves nothing behind. Let the machine do nothing
    else meanwhile.
    """
    from taskq.cli.benchmark import figures
    from taskq.cli.benchmark.measure import STEPS, Bench, Scale

    classes = list(figures.CLASSES) if durability == "all" else [durability]
    scale = Scale().reduced() if quick else Scale()
    quiet = shared.as_json or shared.verbosity < 0
    progress = ProgressLine(STEPS * len(classes), sys.stderr.isatty() and not quiet)
    results: dict[str, Figures] = {}
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that TERM cleans up
    place = Path(tempfile.mkdtemp(prefix="tqb", dir=directory))
    try:
        for name in classes:
            own = place / name
            own.mkdir()

            def say(text: str, name: str = name) -> None:
                progress.step(f"{name}: {text}")

            results[name] = Bench(own, name, workers, scale, say).run()
    finally:
        progress.end()
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(place, ignore_errors=True)
    _report(shared, results, workers, quick)


def _report(shared: Shared, results: dict[str, Figures], workers: int, quick: bool) -> None:
    from taskq.cli.benchmark import figures

    units = {kind.name: kind.unit for kind in figures.KINDS}
    text = figures.as_table(results)
    if shared.verbosity >= 0:
        processes = "worker process" if workers == 1 else "worker processes"
        text += f"\n\nWhat that means, with {workers} {processes}:\n\n{figures.meanings(results)}"
    data = {"workers": workers, "quick": quick, "units": units, "figures": results}
    shared.show(data, text)
