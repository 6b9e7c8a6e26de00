"""One thread a process and broker that waits for everybody who cannot block: `await handle`."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from taskq.client.waiting import FIRST_SLICE, SLICE, numbers, warn_of_standstill
from taskq.protocol.producing import Unwatch, Wait, Waited
from taskq.protocol.values import Finished

if TYPE_CHECKING:
    from taskq.backends.port import Broker, Connection

IDLE = 10.0  # seconds without work after which the thread ends

Callback = Callable[["Finished | BaseException"], None]


class _Order(NamedTuple):
    """What the thread is asked to do: add a callback, or forget it."""

    id: str
    callback: Callback
    add: bool


class Waiter:
    """Waits for any number of ids with one connection; calls each callback once, in its thread.

    `add` and `discard` never wait for the broker: they are called on event loops. They share one lock
    with the thread, which holds it only to take the orders.

    Args:
        broker: where the ids are.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lock = threading.RLock()  # a signal handler may come in while its thread has it
        self._orders: list[_Order] = []
        self._wake_w: int | None = None  # write end of the pipe; None: no thread runs
        self._woken = False

    def add(self, id: str, callback: Callback) -> None:
        """Have `callback` called with how `id` ended, or with why that cannot be learnt."""
        with self._lock:
            self._orders.append(_Order(id, callback, True))
            if self._wake_w is None:
                self._start()
            elif not self._woken:
                self._woken = True
                os.write(self._wake_w, b"!")

    def discard(self, id: str, callback: Callback) -> None:
        """Forget a callback; it may still be called when that is under way."""
        with self._lock:
            if self._wake_w is not None:
                self._orders.append(_Order(id, callback, False))

    def _start(self) -> None:
        """With the lock held: start the thread."""
        wake_r, self._wake_w = os.pipe()
        name = f"taskq-waiter-{self._broker.url}"
        thread = threading.Thread(target=self._run, args=(wake_r,), name=name, daemon=True)
        try:
            thread.start()
        except BaseException:  # no threads left, or the interpreter is ending
            self._end(wake_r)
            raise

    # --- the thread -------------------------------------------------------------------------

    def _run(self, wake_r: int) -> None:
        waits = _Waits(self._broker)
        connection = None
        try:
            connection = self._broker.connect()
            # reading the key file may wait; the event loop, which needs the key, must not
            _ = self._broker.payload_key
            while self._turn(connection, waits, wake_r):
                pass
        except BaseException as error:
            with self._lock:
                waits.take(self._end(wake_r))
            waits.fail(error)
        if connection is not None:
            connection.close()

    def _turn(self, connection: Connection, waits: _Waits, wake_r: int) -> bool:
        """One round; false when there has been nothing to do for a while."""
        with self._lock:
            orders, self._orders = self._orders, []
            if self._woken:
                self._woken = False
                os.read(wake_r, 1)
        waits.take(orders)
        waits.send(connection)
        if waits.collect(connection) or _readable(wake_r, *waits.timeout(connection)):
            return True
        if waits:
            return True  # something fell due at the connection
        with self._lock:
            if any(order.add for order in self._orders):
                return True
            self._end(wake_r)
        return False

    def _end(self, wake_r: int) -> list[_Order]:
        """With the lock held: the orders that are left; the next `add` starts another thread."""
        assert self._wake_w is not None
        os.close(self._wake_w)
        os.close(wake_r)
        self._wake_w = None
        self._woken = False
        if _waiters.get(id(self._broker)) is self:
            del _waiters[id(self._broker)]
        orders, self._orders = self._orders, []
        return orders


class _Waits:
    """The thread's own side: who waits for what, and the request that is parked for all of them.

    False while nobody waits.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._watch = next(numbers)
        self._callbacks: dict[str, list[Callback]] = {}
        self._new: dict[str, None] = {}  # ids that the broker has not heard of
        self._parked: Wait | None = None
        self._superseded: list[Wait] = []  # by a later wait on the same watch
        self._sent_at = 0.0
        self._forgotten = False  # by the broker, with a connection that was lost

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def take(self, orders: list[_Order]) -> None:
        """Carry out what was ordered."""
        for id, callback, add in orders:
            if add:
                if id not in self._callbacks:
                    self._new[id] = None
                self._callbacks.setdefault(id, []).append(callback)
                continue
            with suppress(ValueError, KeyError):
                self._callbacks[id].remove(callback)
                if not self._callbacks[id] and id in self._new:
                    del self._new[id], self._callbacks[id]

    def send(self, connection: Connection) -> None:
        """Send a wait if there are new ids, or if none is parked."""
        new, self._new = self._new, {}
        if not new and (self._parked is not None or not self._callbacks):
            return
        if self._parked is None and not all(self._callbacks.values()):
            # nobody waits for some of them any more
            connection.call(Unwatch(watch=self._watch))
            self._callbacks = {id: calls for id, calls in self._callbacks.items() if calls}
            self._forgotten = True
        if not self._callbacks:
            return
        add = list(self._callbacks) if self._forgotten else list(new)
        self._forgotten = False
        request = Wait(watch=self._watch, add=add, wait=FIRST_SLICE if new else SLICE)
        connection.send(request)
        if self._parked is not None:
            self._superseded.append(self._parked)
        self._parked = request
        self._sent_at = monotonic()

    def collect(self, connection: Connection) -> bool:
        """Pass on the replies that have arrived. Returns whether there were any.

        Raises:
            BrokerTimeout: the broker has not answered in time.
        """
        asked = [*self._superseded, self._parked] if self._parked else self._superseded
        arrived = [request for request in asked if connection.arrived(request)]
        for request in arrived:
            self._answer(connection.receive(request), request)
        return bool(arrived)

    def timeout(self, connection: Connection) -> tuple[int | None, float | None]:
        """The descriptor to wait on, and for how many seconds at most."""
        if not self._callbacks:
            return None, IDLE
        due = connection.due()
        return connection.fileno(), None if due is None else max(due - monotonic(), 0.0)

    def fail(self, error: BaseException) -> None:
        """Report an error to all callbacks, since no outcome can arrive any more."""
        for callbacks in self._callbacks.values():
            for callback in callbacks:
                callback(error)

    def _answer(self, reply: Waited, request: Wait) -> None:
        for finished in reply.finished:
            for callback in self._callbacks.pop(finished.id, ()):
                callback(finished)
        if request is not self._parked:
            self._superseded.remove(request)
            return
        self._parked = None
        self._forgotten = reply.pending != len(self._callbacks)
        if not reply.finished and monotonic() >= self._sent_at + request.wait - 0.1:
            warn_of_standstill(self._broker, reply.unconsumed, list(self._callbacks))


def _readable(wake_r: int, descriptor: int | None, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(wake_r, select.POLLIN)
    if descriptor is not None:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


_waiters: dict[object, Waiter] = {}
_making = threading.RLock()


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
    _making = threading.RLock()
    _waiters.clear()


os.register_at_fork(after_in_child=_forked)
