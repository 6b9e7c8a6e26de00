"""One thread a process and broker that waits for everybody who cannot block: `await handle`."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from taskq.client.waiting import FIRST_SLICE, SLICE, numbers, warn_of_standstill
from taskq.protocol.producing import Unwatch, Wait, Waited
from taskq.protocol.values import Finished

if TYPE_CHECKING:
    from taskq.backends.port import Broker, Connection

IDLE = 10.0  # seconds without work after which the thread ends

Callback = Callable[["Finished | BaseException"], None]


class Waiter:
    """Waits for any number of ids with one connection; tells each callback once, in its thread.

    Args:
        broker: where the ids are.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self._incoming: list[tuple[str, Callback]] = []
        self._bell: int | None = None  # write end of the pipe; None: no thread runs
        self._calls: dict[str, list[Callback]] = {}
        self._parked: Wait | None = None
        self._superseded: list[Wait] = []  # by a later wait on the same watch
        self._sent_at = 0.0
        self._forgotten = False
        self._watch = next(numbers)

    def add(self, id: str, callback: Callback) -> None:
        """Have `callback` told how `id` ended, or why that cannot be learnt."""
        with self._lock:
            self._incoming.append((id, callback))
            if self._bell is None:
                ear, self._bell = os.pipe()
                os.set_blocking(self._bell, False)
                os.set_blocking(ear, False)
                name = f"taskq-waiter-{self._broker.url}"
                thread = threading.Thread(target=self._run, args=(ear,), name=name, daemon=True)
                try:
                    thread.start()
                except BaseException:  # no threads left, or the interpreter is ending
                    self._incoming.remove((id, callback))
                    self._stop(ear)
                    raise
            elif len(self._incoming) == 1:
                with suppress(BlockingIOError):
                    os.write(self._bell, b"!")

    def discard(self, id: str, callback: Callback) -> None:
        """Forget a callback; it may still be told when that is under way."""
        with self._lock:
            with suppress(ValueError):
                self._incoming.remove((id, callback))
            with suppress(ValueError, KeyError):
                self._calls[id].remove(callback)

    # --- the thread -------------------------------------------------------------------------

    def _run(self, ear: int) -> None:
        connection = None
        try:
            connection = self._broker.connect()
            while self._step(connection, ear):
                pass
        except BaseException as error:
            self._fail(error, ear)
        if connection is not None:
            connection.close()

    def _step(self, connection: Connection, ear: int) -> bool:
        """One round; false when there has been nothing to do for a while."""
        self._park(connection)
        asked = [*self._superseded, self._parked] if self._parked else self._superseded
        arrived = [request for request in asked if connection.arrived(request)]
        for request in arrived:
            self._answer(connection.receive(request), request)
        if arrived:
            return True
        if _readable([connection.fileno(), ear] if self._calls else [ear], bool(self._calls)):
            with suppress(BlockingIOError):
                os.read(ear, 4096)
            return True
        with self._lock:
            if not self._incoming:
                self._stop(ear)
                return False
        return True

    def _park(self, connection: Connection) -> None:
        """Send a wait if there are new ids, or if none is parked."""
        with self._lock:
            incoming, self._incoming = self._incoming, []
            new = []
            for id, callback in incoming:
                if id not in self._calls:
                    new.append(id)
                self._calls.setdefault(id, []).append(callback)
            if not new and (self._parked is not None or not self._calls):
                return
            if self._parked is None and not all(self._calls.values()):
                # nobody waits for some of them any more
                connection.call(Unwatch(watch=self._watch))
                self._calls = {id: calls for id, calls in self._calls.items() if calls}
                self._forgotten = True
            add = list(self._calls) if self._forgotten else new
        if not self._calls:
            return
        self._forgotten = False
        wait = FIRST_SLICE if new else SLICE
        request = Wait(watch=self._watch, add=add, wait=wait)
        connection.send(request)
        if self._parked is not None:
            self._superseded.append(self._parked)
        self._parked = request
        self._sent_at = monotonic()

    def _answer(self, reply: Waited, request: Wait) -> None:
        for finished in reply.finished:
            with self._lock:
                callbacks = self._calls.pop(finished.id, ())
            for callback in callbacks:
                callback(finished)
        if request is not self._parked:
            self._superseded.remove(request)
            return
        self._parked = None
        self._forgotten = reply.pending != len(self._calls)
        if not reply.finished and monotonic() >= self._sent_at + request.wait - 0.1:
            # where warnings are errors, this thread must outlive them
            with suppress(Warning):
                warn_of_standstill(self._broker, reply.unconsumed, list(self._calls))

    def _forget(self) -> None:
        """The connection is a new one."""
        self._parked = None
        self._superseded.clear()
        self._forgotten = True

    def _fail(self, error: BaseException, ear: int) -> None:
        with self._lock:
            waiting = [callback for calls in self._calls.values() for callback in calls]
            waiting += [callback for _, callback in self._incoming]
            self._calls.clear()
            self._incoming.clear()
            self._stop(ear)
        for callback in waiting:
            callback(error)

    def _stop(self, ear: int) -> None:
        """With the lock held: the next `add` starts another thread."""
        assert self._bell is not None
        os.close(self._bell)
        os.close(ear)
        self._bell = None
        self._forget()
        _waiters.pop(id(self._broker), None)


def _readable(descriptors: list[int], patiently: bool) -> bool:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if patiently else IDLE * 1000))


_waiters: dict[object, Waiter] = {}
_making = threading.Lock()


def waiter_of(broker: Broker) -> Waiter:
    """The waiter of this process for that broker."""
    key = id(broker)
    waiter = _waiters.get(key)
    if waiter is None:
        with _making:
            waiter = _waiters.setdefault(key, Waiter(broker))
    return waiter


def _forked() -> None:
    # the thread stayed in the parent, and a lock may be held for ever
    global _making
    _making = threading.Lock()
    _waiters.clear()


os.register_at_fork(after_in_child=_forked)
