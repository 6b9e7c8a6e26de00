"""`python -m taskq.broker`: the broker process, as autostart runs it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from taskq.broker.manager import BrokerSettings
from taskq.broker.run import EXIT_USAGE, ReadyPipe, serve
from taskq.sizes import size_in_bytes, whole_number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m taskq.broker", description=__doc__)
    add = parser.add_argument
    add("--dir", type=Path, required=True, help="journal, key and socket live here")
    add("--listen", default="unix", metavar="unix|tcp://HOST:PORT")
    add("--durability", choices=("fsync", "os", "none"), default="fsync")
    add("--authkey-file", type=Path, help="default: the file key in DIR")
    add("--idle-exit", type=float, metavar="SECONDS", help="leave after so long without clients")
    add("--insecure", action="store_true", help="allow TCP beyond this machine, unencrypted")
    # an embedded broker inherits these from the process that starts it
    add("--max-messages", default=os.environ.get("TASKQ_MAX_MESSAGES", "0"), metavar="N")
    add("--max-bytes", default=os.environ.get("TASKQ_MAX_BYTES", "0"), metavar="SIZE")
    add("--max-results", default=os.environ.get("TASKQ_MAX_RESULTS"), metavar="N")
    add("--max-result-bytes", default=os.environ.get("TASKQ_MAX_RESULT_BYTES"), metavar="SIZE")
    add("--ready-fd", type=int, default=-1, help="write 'ready' or 'error: …' there")
    add("--detach", action="store_true", help="run in the background, in a session of its own")
    return parser


def _detach() -> None:
    """Leave the process that started us: no child of its, no signals of its terminal."""
    if os.fork():
        os._exit(0)
    os.setsid()


def main(argv: list[str] | None = None) -> int:
    """Run the broker; the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.detach:
        _detach()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is no reason to stop
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while a journal is loaded
    pipe = ReadyPipe(arguments.ready_fd)
    try:
        settings = BrokerSettings(
            directory=arguments.dir,
            listen=arguments.listen,
            durability=arguments.durability,
            authkey_file=arguments.authkey_file,
            idle_exit=arguments.idle_exit,
            insecure=arguments.insecure,
            max_messages=whole_number("TASKQ_MAX_MESSAGES", arguments.max_messages),
            max_bytes=size_in_bytes("TASKQ_MAX_BYTES", arguments.max_bytes),
            max_results=None
            if arguments.max_results is None
            else whole_number("TASKQ_MAX_RESULTS", arguments.max_results),
            max_result_bytes=None
            if arguments.max_result_bytes is None
            else size_in_bytes("TASKQ_MAX_RESULT_BYTES", arguments.max_result_bytes),
        )
    except ValueError as error:
        pipe.failed(error)
        logging.getLogger("taskq.broker").error("%s", error)
        return EXIT_USAGE
    return serve(settings, ready=pipe.ready, failed=pipe.failed)


if __name__ == "__main__":
    sys.exit(main())
