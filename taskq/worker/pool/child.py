"""The process that runs user code: loads the app, then lives as one consumer.

Forked from the launcher, which has one thread and none of the user's modules. Nothing is relied on
to be inherited but the socket and the slot of its arguments.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from taskq.application import App, queues_of
from taskq.backends.reconnect import reconnect_budget
from taskq.errors import BrokerUnavailable, TaskqError
from taskq.protocol.operating import Ping
from taskq.worker import logs
from taskq.worker.identity import Identity
from taskq.worker.pool import notes
from taskq.worker.pool.leftovers import what_is_left
from taskq.worker.runtime import retrying, signals
from taskq.worker.runtime.consumer import Bounds, Consumer, Ending
from taskq.worker.runtime.limits import SignalAlarm, memory_reader
from taskq.worker.runtime.slot import Slot
from taskq.worker.runtime.waking import Waker
from taskq.worker.settings import WorkerSettings

EXIT_DONE = 0  # stopped or drained
EXIT_CRASHED = 1
EXIT_WORN_OUT = 80  # replace me: enough tasks, or too much memory
EXIT_EXPLAINED = 81  # a note says why

_PR_SET_PDEATHSIG = 1

log = logging.getLogger("taskq.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildArgs:
    """What the launcher gives a child.

    Args:
        launcher: its process id.
        worker: name of the worker.
        consumer: name of this child at the broker.
        channel: the child's end of the socket pair for notes.
        slot: shared memory.
        stacks: descriptor that gets the stacks of this process, on SIGUSR1.
        first: whether it is the one that speaks for all while the app is imported.
        waits: whether it waits, with the app loaded, until the launcher lets it go on.
    """

    launcher: int
    worker: str
    consumer: str
    channel: socket.socket
    slot: Slot
    stacks: int
    first: bool
    waits: bool


def main(settings: WorkerSettings, args: ChildArgs, forget: Callable[[], None]) -> None:
    """Live as a child; ends the process.

    Args:
        forget: closes what was inherited from the launcher.
    """
    _settle_in(args, forget)
    try:
        code = _live(settings, args)
    except TaskqError as error:
        notes.send(args.channel, notes.Unreachable(f"{type(error).__name__}: {error}"))
        code = EXIT_EXPLAINED
    except Exception:
        log.exception("a worker child crashed; this is a fault of taskq or of a library")
        code = EXIT_CRASHED
    notes.send(args.channel, notes.Left())
    sys.exit(code)


def _settle_in(args: ChildArgs, forget: Callable[[], None]) -> None:
    signals.reset()
    forget()
    faulthandler.register(signal.SIGUSR1, file=args.stacks, all_threads=True, chain=False)
    die_with_parent(args.launcher)
    random.seed()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, if it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(EXIT_CRASHED)


def _live(settings: WorkerSettings, args: ChildArgs) -> int:
    app = _load(settings, args)
    if app is None:
        return EXIT_EXPLAINED
    try:
        url = app.broker.url
    except ValueError as error:  # the URL or a variable of the environment is wrong
        notes.send(args.channel, notes.Unusable(str(error), ""))
        return EXIT_EXPLAINED
    if url.startswith("memory:"):
        sentence = (
            "the broker memory: is in the process that calls, where no worker reaches it; give the "
            "worker another one with --broker, or use: with queue.workers():"
        )
        notes.send(args.channel, notes.Unusable(sentence, ""))
        return EXIT_EXPLAINED
    logs.adopt_root()
    queues = settings.queues or tuple((name, 1) for name in queues_of(app))
    hello = notes.Hello(
        name=app.name,
        url=url,
        queues=[name for name, _ in queues],
        tasks=sorted(app.tasks),
    )
    if settings.check:
        app.broker.call(Ping())
        notes.send(args.channel, hello)
        return EXIT_DONE
    if args.waits and not _may_go(args.channel):
        return EXIT_EXPLAINED
    _await_key(app)
    waker = Waker()
    consumer = Consumer(
        app,
        Identity(args.worker, args.consumer, settings.group, queues),
        Bounds(
            batch=settings.batch,
            burst=settings.burst,
            max_tasks=settings.max_tasks,
            max_memory=settings.max_memory,
        ),
        args.slot,
        SignalAlarm(),
        waker,
        armed=lambda: notes.send(args.channel, notes.Armed()),
        memory=memory_reader() if settings.max_memory else lambda: 0,
        parent=args.channel.fileno(),
    )
    consumer.tidy = signals.install(consumer.stop, waker)
    if not args.first:
        retrying.log.setLevel(logging.ERROR)
    consumer.join()
    retrying.log.setLevel(logging.ERROR)  # from here on the launcher logs that the broker is gone
    notes.send(args.channel, hello)
    ending = consumer.run()
    if ending is Ending.DRAINED:
        notes.send(args.channel, notes.Drained(what_is_left(app.broker, settings.group, queues)))
    return EXIT_WORN_OUT if ending is Ending.WORN_OUT else EXIT_DONE


def _await_key(app: App) -> None:
    """Where a broker on a socket has not made its key yet, wait for its first start.

    Raises:
        BrokerUnavailable: the reconnect budget is spent.
    """
    try:
        _ = app.codec
    except BrokerUnavailable:
        link = retrying.RetryingConnection(app.broker, None, _nap, reconnect_budget())
        link.attempt(lambda connection: connection.call(Ping()))
        link.close()


def _nap(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _may_go(channel: socket.socket) -> bool:
    """Wait as a successor; false where the launcher is gone."""
    notes.send(channel, notes.Loaded())
    return bool(channel.recv(1))


def _load(settings: WorkerSettings, args: ChildArgs) -> App | None:
    from taskq import loader

    if settings.app is None:
        from taskq.client.app import TaskQueue

        return TaskQueue(settings.queues[0][0], broker=settings.broker)
    if not args.first:
        logging.getLogger("taskq.loader").setLevel(logging.ERROR)
    try:
        app = loader.load_app(settings.app, settings.include)
        app.use_broker(settings.broker)
        return app
    except loader.AppImportError as error:
        notes.send(args.channel, notes.Unusable(str(error), error.user_traceback))
        return None
