"""`python -m taskq.worker`: a worker from the command line, without click."""

from __future__ import annotations

import argparse
import signal
import sys

from taskq.worker.settings import MAX_BATCH, Settings, parse_queues, parse_size


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m taskq.worker", description=__doc__)
    add = parser.add_argument
    add("app", nargs="?", help="module:attribute; none: only calls that carry their function")
    add("--broker", metavar="URL")
    add("-Q", "--queues", "--queue", metavar="a,b:3", help="queues with their weights")
    add("-c", "--concurrency", type=int, default=1, metavar="N")
    add("-g", "--group", default="default")
    add("--batch", type=int, default=MAX_BATCH, metavar="N", help="most messages of one claim")
    add("--burst", action="store_true", help="leave when nothing is left to do")
    add("--max-tasks-per-child", type=int, metavar="N")
    add("--max-memory-per-child", metavar="300M")
    add("--shutdown-timeout", type=float, default=30.0, metavar="SECONDS")
    add("--name")
    add("-l", "--log-level", default="info")
    add("--log-format", default="text", choices=["text", "json"])
    add("--check", action="store_true", help="import the app, reach the broker, print the tasks")
    add("--ready-fd", type=int, metavar="FD")
    add("--owner-fd", type=int, metavar="FD", help="a pipe from the process that needs this worker")
    return parser


def settings_of(argv: list[str]) -> Settings:
    """The settings that the arguments ask for; leaves with exit code 2 where they are wrong."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        memory = args.max_memory_per_child
        return Settings(
            app=args.app,
            broker=args.broker,
            queues=parse_queues(args.queues) if args.queues else (),
            concurrency=args.concurrency,
            group=args.group,
            batch=args.batch,
            burst=args.burst,
            max_tasks=args.max_tasks_per_child,
            max_memory=parse_size(memory) if memory else None,
            shutdown_timeout=args.shutdown_timeout,
            name=args.name,
            log_level=args.log_level,
            log_format=args.log_format,
            check=args.check,
            ready_fd=args.ready_fd,
            owner_fd=args.owner_fd,
        )
    except ValueError as error:
        parser.error(str(error))


def main() -> int:
    """Run a worker; returns its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while we are being imported
    from taskq.worker.pool.launcher import run

    return run(settings_of(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
