"""Long operations in slices of a few steps: requests and crashes come between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from taskq.engine import operations
from taskq.engine.engine import Engine
from taskq.engine.states import WAITING, State
from taskq.protocol.consuming import Claim, Leave
from taskq.protocol.operating import Control, PurgeDead, Replay
from taskq.protocol.values import Options
from tests.kit.snapshot import snapshot
from tests.property.failing import Failing
from tests.property.producing import Producing
from tests.property.stage import GROUPS, TICKS, WAITER, WORKERS, picks

between = st.lists(st.sampled_from(["tick", "enqueue", "claim"]), max_size=8)
slices = st.integers(1, 3)
DEAD = frozenset({State.DEAD})
NONE: frozenset[State] = frozenset()


@contextmanager
def slices_of(steps: int) -> Iterator[None]:
    """Operations take so many steps a tick."""
    with mock.patch.object(operations, "SLICE", steps):
        yield


def without_removed_groups(engine: Engine) -> dict[str, Any]:
    """A snapshot. Of a group that is being removed, a load brings back less than is left."""
    removing = {
        (queue.name, group.name)
        for queue in engine.ledger.queues.values()
        for group in queue.groups.values()
        if group.removing
    }
    found = snapshot(engine)
    for place in removing:
        del found["groups"][place]
    for *_, (queue, *_), _, _, _, _, deliveries in found["messages"].values():
        for name in [name for name in deliveries if (queue, name) in removing]:
            del deliveries[name]
    return found


class Slicing(Producing, Failing):
    """Rules of groups that come and go slowly."""

    @precondition(lambda self: len(self.actors) < 6)
    @rule(steps=slices, between=between, pick=picks, crash=st.booleans())
    def a_group_is_filled(self, steps: int, between: list[str], pick: int, crash: bool) -> None:
        name = GROUPS[len(self.actors) - 4]
        actor = self.make_actor("w4", f"c{len(self.actors)}", name, ["q"], None)
        self.collect()
        is_new = not self._has_group(name)
        with slices_of(steps):
            self.bench.apply(self.registration(actor, []), actor.session)
            if is_new:
                self.model.new_group("q", name, self.bench.engine)
            self.bench.tick()
            self.collect()
            self._meanwhile(between, pick)
            self._the_journal_has_it_so_far()
            self.actors.append(actor)
            actor.registered = True
            if crash:
                self.restart()
            self.bench.work_off()
        if crash:
            self.go_on()

    @rule(
        steps=slices,
        between=between,
        pick=picks,
        crash=st.booleans(),
        group=st.sampled_from(["audit", *GROUPS]),
    )
    def a_group_is_dropped(
        self, steps: int, between: list[str], pick: int, crash: bool, group: str
    ) -> None:
        if not self._has_group(group):
            return
        for actor in self.actors:
            if actor.group == group:
                self.bench.disconnect(actor.session)
                self.drop_session(actor)
        self.collect()
        with slices_of(steps):
            self.bench.apply(Control(queue="q", group=group, action="drop"))
            self.model.dropped("q", group)
            self.bench.tick()
            self.collect()
            self._meanwhile(between, pick)
            self._the_journal_has_it_so_far()
            if crash:
                self.restart()
            self.bench.work_off()
        assert not self._has_group(group), "10: a group came back"
        if crash:
            self.go_on()

    @precondition(lambda self: not self.someone_waits())
    @rule(
        what=st.sampled_from(["purge", "purge dead", "replay", "leave"]),
        steps=slices,
        ticks=st.integers(0, 4),
        worker=WORKERS,
    )
    def an_operation_is_cut_off(self, what: str, steps: int, ticks: int, worker: str) -> None:
        """What it has done by then stays done, and the rest is as it was."""
        request, states = {
            "purge": (Control(queue="q", action="purge"), WAITING),
            "purge dead": (PurgeDead(), DEAD),
            "replay": (Replay(), DEAD),
            "leave": (Leave(worker=worker), NONE),
        }[what]
        before = self._in(states)
        with slices_of(steps):
            self.bench.apply(request, WAITER)
            for _ in range(ticks + 1):
                self.bench.tick()
            self._the_journal_has_it_so_far()
            self.restart()
        for seq, group in before - self._in(states):
            if what == "replay":
                self.model.replayed(seq, group, self.bench.now)
            else:
                self.model.purged(seq, group)
        self.go_on()

    def _in(self, states: frozenset[State]) -> set[tuple[int, str]]:
        return {
            (message.seq, entry.group.name)
            for message in self.ledger.all_messages()
            for entry in message.deliveries
            if entry.state in states
        }

    def _the_journal_has_it_so_far(self) -> None:
        """8: between two slices, too; nothing more of the operation is carried out meanwhile."""
        with slices_of(0):
            for _ in range(TICKS):
                self.bench.tick()
            loaded = without_removed_groups(self.bench.reload(TICKS))
            assert loaded == without_removed_groups(self.bench.engine), "8: load = memory"
        self.collect()

    def _has_group(self, name: str) -> bool:
        queue = self.ledger.queues.get("q")
        return queue is not None and name in queue.groups

    def _meanwhile(self, what: list[str], pick: int) -> None:
        """What others do between two slices."""
        for number, each in enumerate(what):
            if each == "enqueue":
                self.enqueue_plainly([pick + number], "q", "known", Options())
            elif each == "claim":
                self._claim(pick + number)
            else:
                self.bench.tick()
            self.collect()

    def _claim(self, pick: int) -> None:
        actor = self.pick_actor(pick, registered=True)
        if actor is not None:
            actor.parked = 0
            request = Claim(queues=list(actor.queues), n=2, wait=0)
            self.hand_over(actor, self.bench.call(request, actor.session).messages)
