"""`python -m taskq.broker SETTINGS`: a broker that a program starts; `BrokerSettings` as JSON."""

from __future__ import annotations

import logging
import os
import signal
import sys

import msgspec

from taskq.broker.run import EXIT_USAGE, ReadyPipe, serve
from taskq.broker.settings import BrokerSettings


def settings_of(arguments: list[str]) -> BrokerSettings:
    """The settings that the one argument holds; leaves with exit code 2 if they are wrong."""
    try:
        return BrokerSettings.from_json(" ".join(arguments))
    except msgspec.MsgspecError as error:
        print(
            f"Error: python -m taskq.broker takes the settings of a broker as JSON, for programs "
            f"({error}); by hand start one with: taskq broker --dir DIR",
            file=sys.stderr,
        )
        sys.exit(EXIT_USAGE)


def _detach() -> None:
    """Leave the process that started us: no child of its, no signals of its terminal."""
    if os.fork():
        os._exit(0)
    os.setsid()


def main(arguments: list[str] | None = None) -> int:
    """Run the broker; the exit code."""
    settings = settings_of(sys.argv[1:] if arguments is None else arguments)
    if settings.detach:
        _detach()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is no reason to stop
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while a journal is loaded
    pipe = ReadyPipe(settings.ready_fd)
    try:
        # an embedded broker inherits the limits from the process that starts it
        settings = settings.completed(os.environ)
    except ValueError as error:
        pipe.failed(error)
        logging.getLogger("taskq.broker").error("%s", error)
        return EXIT_USAGE
    return serve(settings, ready=pipe.ready, failed=pipe.failed)


if __name__ == "__main__":
    sys.exit(main())
