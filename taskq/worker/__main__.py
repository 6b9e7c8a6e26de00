"""`python -m taskq.worker SETTINGS`: a worker that a program starts; `WorkerSettings` as JSON."""

from __future__ import annotations

import signal
import sys

import msgspec

from taskq.worker.settings import WorkerSettings


def settings_of(arguments: list[str]) -> WorkerSettings:
    """The settings that the one argument holds; leaves with exit code 2 if they are wrong."""
    try:
        return msgspec.json.decode(" ".join(arguments), type=WorkerSettings)
    except msgspec.MsgspecError as error:
        print(
            f"Error: python -m taskq.worker takes the settings of a worker as JSON, for programs "
            f"({error}); by hand start one with: taskq worker APP",
            file=sys.stderr,
        )
        sys.exit(2)


def main() -> int:
    """Run a worker; returns its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while we are being imported
    from taskq.worker.pool.launcher import run

    return run(settings_of(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
