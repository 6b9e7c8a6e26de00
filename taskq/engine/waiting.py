"""Requests of producers that wait for what they have enqueued: wait, unwatch."""

from __future__ import annotations

from math import inf

from taskq.engine.handlers import REPLY_BYTES, Handlers, ParkedKinds
from taskq.engine.ledger import Ledger
from taskq.engine.operations import Steps
from taskq.engine.sessions import Session
from taskq.engine.states import WAITING, State
from taskq.engine.tick import Tick
from taskq.engine.watches import ParkedWait, Watch
from taskq.protocol.base import Done, Reply
from taskq.protocol.producing import Unwatch, Wait, Waited
from taskq.protocol.values import Finished

IDS_IN_A_STEP = 5  # of a request that adds many
REPLY_IDS = 250  # finished ids in one reply
UNCONSUMED_LOOK = 1000  # ids whose queues are checked for consumers


def wait(ledger: Ledger, session: Session, request: Wait, tick: Tick) -> Reply | None:
    """Park until one of the watch has finished; answered by `answer_watches`."""
    watches = ledger.watchers.of.setdefault(session, {})
    watch = watches.get(request.watch)
    if watch is None:
        watch = watches[request.watch] = Watch(request.watch)
    steps = _add(ledger, session, request, watch, tick.now)
    return ledger.operations.start(session.number, request.rid, steps)


def _add(ledger: Ledger, session: Session, request: Wait, watch: Watch, now: float) -> Steps:
    """Put the ids into the watch, and only then park. A reply: the watch was dropped meanwhile."""
    watch.waits += 1
    for position, id in enumerate(request.add):
        if position % IDS_IN_A_STEP == IDS_IN_A_STEP - 1:
            yield
            if watch.dropped:
                return Waited(finished=[], pending=0)
        if id in watch.open:
            continue
        if is_open(ledger, id):
            watch.done.pop(id, None)
            ledger.watchers.add(watch, id)
        else:
            watch.done[id] = None
    watch.waits -= 1
    if watch.parked is not None:
        # one request a watch is parked; an older one has nothing left to wait for
        ledger.answer(watch.parked, Waited(finished=[], pending=watch.pending))
    at_once = bool(watch.done) or not watch.open or request.wait <= 0
    ParkedWait(session, request.rid, inf if at_once else now + request.wait, watch)
    if at_once:
        ledger.watchers.answerable.append(watch)
    return None


def is_open(ledger: Ledger, id: str) -> bool:
    """Whether the outcome of that id is still to come."""
    message = ledger.messages.get(id)
    if message is None or not message.deliveries:
        return False
    state = message.deliveries[0].state
    return state in WAITING or state is State.LEASED


def outcomes(ledger: Ledger, ids: list[str], now: float) -> list[Finished]:
    """The ends of messages, as `Waited` reports them."""
    dead = {}
    for id in ids:
        message = ledger.messages.get(id)
        if message is not None and message.deliveries[0].state is State.DEAD:
            error, spec = message.deliveries[0].last_error, message.spec
            dead[id] = Finished(id, State.DEAD.label, None, error, spec.queue, spec.task)
    ended = iter(ledger.results.finished([id for id in ids if id not in dead], now))
    return [dead[id] if id in dead else next(ended) for id in ids]


def answer_watches(ledger: Ledger, now: float) -> None:
    """Reply to the parked waits that have something to report."""
    watchers = ledger.watchers
    answerable, watchers.answerable = watchers.answerable, []
    for watch in answerable:
        parked = watch.parked
        if parked is None:
            continue  # dropped, or answered a moment ago
        ledger.answer(parked, _report(ledger, watch, now))
        watch.parked = None
        if not (watch.pending or watch.waits):
            watchers.of[parked.session].pop(watch.number, None)


def _report(ledger: Ledger, watch: Watch, now: float) -> Waited:
    """The reply to one parked wait, bounded in ids and bytes; the next wait gets the rest."""
    ended: list[str] = []
    reopened: list[str] = []
    size = 0
    for id in watch.done:
        if size >= REPLY_BYTES or len(ended) + len(reopened) >= REPLY_IDS:
            break
        if is_open(ledger, id):  # a dead letter that was replayed before a reply
            reopened.append(id)
        else:
            ended.append(id)
            size += _size(ledger, id) + 100
    for id in ended:
        del watch.done[id]
    for id in reopened:
        del watch.done[id]
        ledger.watchers.add(watch, id)
    unconsumed = [] if ended else _unconsumed(ledger, watch)
    finished = outcomes(ledger, ended, now)
    return Waited(finished=finished, pending=watch.pending, unconsumed=unconsumed)


def _size(ledger: Ledger, id: str) -> int:
    message = ledger.messages.get(id)
    if message is not None and message.deliveries[0].state is State.DEAD:
        return message.deliveries[0].last_error.size
    entry = ledger.results.entry(id)
    return 0 if entry is None else entry.size


def _unconsumed(ledger: Ledger, watch: Watch) -> list[str]:
    names = set()
    for id, _ in zip(watch.open, range(UNCONSUMED_LOOK), strict=False):
        group = ledger.messages[id].deliveries[0].group
        if not group.consumers:
            names.add(group.queue.name)
    return sorted(names)


def expire(ledger: Ledger, parked: ParkedWait, now: float) -> None:
    """Answer a wait at its deadline with the number of ids that are pending, in the same tick."""
    ledger.watchers.answerable.append(parked.watch)


def withdraw(ledger: Ledger, parked: ParkedWait) -> None:
    """The session has closed."""
    parked.watch.parked = None


def unwatch(ledger: Ledger, session: Session, request: Unwatch, tick: Tick) -> Done:
    """Drop a watch; who waits for it is answered."""
    watch = ledger.watchers.of.get(session, {}).pop(request.watch, None)
    if watch is not None:
        if watch.parked is not None:
            ledger.answer(watch.parked, Waited(finished=[], pending=0))
        ledger.operations.start(0, 0, ledger.watchers.drop(watch))
    return Done()


def disconnect(ledger: Ledger, session: Session, now: float) -> None:
    """Drop the watches of a connection that has closed."""
    for watch in ledger.watchers.of.pop(session, {}).values():
        ledger.operations.start(0, 0, ledger.watchers.drop(watch))


HANDLERS: Handlers = {Wait: wait, Unwatch: unwatch}
PARKED: ParkedKinds = {ParkedWait: (expire, withdraw)}
