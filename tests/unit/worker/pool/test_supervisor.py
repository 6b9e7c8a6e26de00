"""The supervisor's decisions, with children that are not processes."""

from __future__ import annotations

import errno
import signal
from typing import Any

import pytest

from taskq.protocol.consuming import Reap
from taskq.protocol.values import Stop
from taskq.worker.pool import notes, supervisor
from taskq.worker.pool.child import EXIT_EXPLAINED, EXIT_WORN_OUT
from taskq.worker.pool.deaths import Death
from taskq.worker.pool.supervisor import RAPID_LIMIT, RELOAD_DELAY, SCARCE_DELAY, Supervisor
from taskq.worker.runtime.slot import RING, Cancellations, Slot
from taskq.worker.settings import WorkerSettings
from tests.kit.messages import missing
from tests.unit.worker.pool.fake_child import FakeChild


class FakeHost:
    """Records what the supervisor asks for."""

    def __init__(self) -> None:
        self.reaps: list[Reap] = []
        self.failures: list[tuple[int, str]] = []
        self.left: list[str] = []

    def report_death(self, death: Death) -> None:
        self.reaps.append(death.reap)

    def hello(self, note: notes.Hello) -> None:
        """Nobody listens."""

    def fail(self, code: int, sentence: str, traceback: str = "") -> None:
        self.failures.append((code, sentence))

    def left_over(self, sentences: list[str]) -> None:
        self.left += sentences

    def forget_in_child(self) -> None:
        """Nothing was inherited."""


class SupervisorBench:
    """A supervisor at time 0, with its children started and ready."""

    def __init__(self, ready: bool = True, **settings: Any) -> None:
        FakeChild.made = []
        self.host = FakeHost()
        self.gone: list[object] = []  # the children that are watched no more
        self.supervisor = Supervisor(
            WorkerSettings(app="a:b", **settings),
            "w",
            self.host,
            lambda child: None,
            self.gone.append,
        )
        self.supervisor.poll(0.0)
        if ready:
            for child in self.children:
                self.greet(child)

    @property
    def children(self) -> list[FakeChild]:
        return self.supervisor.children  # type: ignore[return-value]

    def child(self, consumer: str) -> FakeChild:
        return next(child for child in FakeChild.made if child.consumer == consumer)

    def loads(self, child: FakeChild) -> None:
        child.pending.append(notes.Loaded())
        self.supervisor.listen(child)  # type: ignore[arg-type]

    def unusable(self, child: FakeChild, sentence: str) -> None:
        child.pending.append(notes.Unusable(sentence, "Traceback"))
        self.supervisor.listen(child)  # type: ignore[arg-type]
        child.die(EXIT_EXPLAINED)

    def greet(self, child: FakeChild) -> None:
        child.pending.append(notes.Hello("q", "u", [], []))
        self.supervisor.listen(child)  # type: ignore[arg-type]
        child.ready_at = 0.0


@pytest.fixture(autouse=True)
def fake_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "Child", FakeChild)


def test_it_starts_as_many_as_the_settings_say() -> None:
    bench = SupervisorBench(concurrency=3)
    assert [child.consumer for child in bench.children] == ["w/1.1", "w/2.1", "w/3.1"]
    assert bench.supervisor.all_ready


def test_a_dead_child_is_reaped_and_replaced_alone() -> None:
    bench = SupervisorBench(concurrency=2)
    dead, other = bench.children
    dead.runs(77)
    dead.die(-signal.SIGKILL)
    bench.supervisor.poll(5.0)
    (reap,) = bench.host.reaps
    assert (reap.consumer, reap.running, reap.timed_out, reap.cancelled) == (
        "w/1.1",
        [77],
        False,
        False,
    )
    assert not missing(reap.reason, "SIGKILL")
    assert dead.closed
    assert bench.children[0].consumer == "w/1.2"
    assert bench.children[1] is other


def test_a_task_that_leaves_by_exit_code_0_is_lost_too() -> None:
    bench = SupervisorBench()
    bench.children[0].runs(77)
    bench.children[0].die(0)
    bench.supervisor.poll(5.0)
    assert bench.host.reaps[0].running == [77]
    assert bench.children[0].consumer == "w/1.2"


def test_what_was_begun_and_is_not_settled_counts_as_lost() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    child.runs(77)
    child.ends()
    child.die(0)  # os._exit(0) in a thread that the task has left
    bench.supervisor.poll(5.0)
    assert (bench.host.reaps[0].running, bench.host.reaps[0].began) == ([], 77)


def test_what_a_child_that_leaves_has_begun_is_settled() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    child.runs(77)
    child.ends()
    child.pending.append(notes.Left())
    child.die(0)
    bench.supervisor.poll(5.0)
    assert (bench.host.reaps[0].running, bench.host.reaps[0].began) == ([], 0)


def test_neighbours_of_a_task_that_we_kill_cost_nothing() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    child.runs(77)
    child.ends()
    child.runs(78)
    child.slot.cells[0].deadline = 10.0
    bench.supervisor.poll(10.0)
    child.die(-signal.SIGKILL)
    bench.supervisor.poll(10.1)
    assert (bench.host.reaps[0].running, bench.host.reaps[0].began) == ([78], 0)


def test_a_worn_out_child_costs_nothing() -> None:
    bench = SupervisorBench()
    bench.children[0].slot.words[Slot.STARTED] = 10
    bench.children[0].die(EXIT_WORN_OUT)
    bench.supervisor.poll(5.0)
    assert bench.host.reaps[0].running == []
    assert bench.children[0].consumer == "w/1.2"


# --- deadlines --------------------------------------------------------------------------------


def test_a_task_over_its_deadline_is_killed_and_reaped_as_timed_out() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    child.runs(77)
    child.slot.cells[0].deadline = 10.0
    assert bench.supervisor.poll(4.0) == 6.0
    assert child.slot.armed == 10.0
    assert child.signals == []
    bench.supervisor.poll(10.0)
    assert child.signals == [signal.SIGSTOP, signal.SIGKILL]
    bench.supervisor.poll(10.1)
    assert child.signals == [signal.SIGSTOP, signal.SIGKILL]
    child.die(-signal.SIGKILL)
    bench.supervisor.poll(10.2)
    assert bench.host.reaps[0].timed_out


def test_a_child_that_has_moved_on_when_it_stands_still_is_not_killed() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    cell = child.slot.cells[0]
    child.runs(77)
    cell.deadline = 10.0
    child.frozen = [False, True]
    bench.supervisor.poll(10.0)
    cell.deadline = 0.0
    child.ends()
    child.runs(78)
    bench.supervisor.poll(10.1)
    assert signal.SIGKILL not in child.signals
    cell.deadline = 11.0
    bench.supervisor.poll(11.0)
    assert signal.SIGKILL in child.signals
    assert child.timed_out == 78


def test_nothing_running_is_nothing_to_wait_for() -> None:
    bench = SupervisorBench()
    bench.children[0].slot.armed = 10.0
    assert bench.supervisor.poll(4.0) is None
    assert bench.children[0].slot.armed == 0.0


# --- cancellation -----------------------------------------------------------------------------


def test_a_running_task_is_terminated_with_its_child() -> None:
    bench = SupervisorBench(concurrency=2)
    busy, idle = bench.children
    busy.runs(77)
    bench.supervisor.stop_tasks([Stop(77, busy.consumer, kill=True)])
    bench.supervisor.poll(0.5)
    assert (busy.signals, idle.signals) == ([signal.SIGSTOP, signal.SIGKILL], [])
    busy.die(-signal.SIGKILL)
    bench.supervisor.poll(1.0)
    assert bench.host.reaps[0].cancelled


def test_a_child_that_has_begun_the_next_task_survives_the_end_of_the_last() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    child.runs(77)
    child.frozen = [False, True]
    bench.supervisor.stop_tasks([Stop(77, child.consumer, kill=True)])
    assert bench.supervisor.poll(0.1) is not None  # it does not stand still yet
    child.ends()
    child.runs(78)
    bench.supervisor.poll(0.2)
    assert child.signals == [signal.SIGSTOP, signal.SIGSTOP, signal.SIGCONT]
    assert not child.terminated


def test_what_has_ended_is_no_reason_to_stop_a_child() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    child.runs(77)
    child.ends()
    bench.supervisor.stop_tasks([Stop(77, child.consumer, kill=True)])
    assert bench.supervisor.poll(0.1) is None
    assert child.signals == []


def test_a_task_that_has_not_begun_never_will_and_nobody_is_killed() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    child.runs(77)
    bench.supervisor.stop_tasks([Stop(79, child.consumer, kill=True)])
    bench.supervisor.poll(0.1)
    assert child.signals == [signal.SIGSTOP, signal.SIGCONT]
    assert received(child) == {79}


def test_a_cancellation_goes_to_the_child_that_has_the_message() -> None:
    bench = SupervisorBench(concurrency=2)
    first, second = bench.children
    bench.supervisor.stop_tasks([Stop(77, second.consumer), Stop(78, "w/9.9")])
    assert (received(first), received(second)) == (set(), {77})


def test_cancellations_that_find_no_room_are_sent_later() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    many = range(1, RING * 3)
    bench.supervisor.stop_tasks([Stop(receipt, child.consumer) for receipt in many])
    inbox = Cancellations(child.slot)
    inbox.read()
    assert len(inbox.receipts) == RING
    assert bench.supervisor.poll(0.1) is not None
    inbox.read()
    bench.supervisor.poll(0.2)
    inbox.read()
    assert inbox.receipts == set(many)
    assert bench.supervisor.poll(0.3) is None


def received(child: FakeChild) -> set[int]:
    inbox = Cancellations(child.slot)
    inbox.read()
    return inbox.receipts


# --- start and end ----------------------------------------------------------------------------


def test_children_that_die_of_their_start_are_replaced_ever_later_until_it_gives_up() -> None:
    bench = SupervisorBench(ready=False)
    now, delays = 0.0, []
    for _ in range(RAPID_LIMIT):
        bench.children[0].die(9)
        delay = bench.supervisor.poll(now)
        assert delay is not None
        delays.append(delay)
        now += delay
        bench.supervisor.poll(now)
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]
    ((code, sentence),) = bench.host.failures
    assert code == 1
    assert "exited with code 9" in sentence


def test_a_death_in_work_is_no_death_of_the_start() -> None:
    bench = SupervisorBench(ready=False)
    for _ in range(RAPID_LIMIT * 2):
        bench.children[0].runs(77)
        bench.children[0].die(7)
        bench.supervisor.poll(0.1)
    assert bench.host.failures == []


def test_an_import_error_at_the_start_ends_the_worker() -> None:
    bench = SupervisorBench(ready=False)
    (child,) = bench.children
    child.pending.append(notes.Unusable("no such module", ""))
    child.die(EXIT_EXPLAINED)
    bench.supervisor.poll(0.1)
    assert bench.host.failures == [(2, "no such module")]


def test_an_import_error_in_a_replacement_does_not_end_the_worker(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor.log, "propagate", True)
    bench = SupervisorBench()
    now = 100.0
    bench.children[0].slot.words[Slot.STARTED] = 1
    bench.children[0].die(-signal.SIGKILL)
    bench.supervisor.poll(now)
    for _ in range(3):  # with one child, too, and every time
        (new,) = bench.children
        bench.unusable(new, "broken")
        delay = bench.supervisor.poll(now)
        assert delay == RELOAD_DELAY
        now += delay
        bench.supervisor.poll(now)
    assert bench.host.failures == []
    assert caplog.text.count("broken") == 1


def test_a_reload_replaces_the_children_when_every_successor_has_loaded_the_app() -> None:
    bench = SupervisorBench(concurrency=2)
    first, second = bench.children
    bench.supervisor.restart()
    bench.supervisor.poll(1.0)
    assert [child.consumer for child in bench.children] == ["w/1.1", "w/1.2", "w/2.1"]
    one = bench.child("w/1.2")
    bench.loads(one)
    bench.supervisor.poll(1.1)
    assert not first.asked
    other = bench.child("w/2.2")
    bench.loads(other)
    bench.supervisor.poll(1.2)
    assert (first.asked, second.asked, one.told_to_go) == (True, False, False)
    first.die(0)
    bench.supervisor.poll(1.3)
    assert (one.told_to_go, second.asked) == (True, False)
    bench.greet(one)
    bench.supervisor.poll(1.4)
    assert second.asked
    second.die(0)
    bench.supervisor.poll(1.5)
    bench.greet(other)
    bench.supervisor.poll(1.6)
    assert bench.children == [one, other]
    assert bench.supervisor.all_ready


def test_a_reload_that_fails_leaves_every_child_as_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor.log, "propagate", True)
    bench = SupervisorBench(concurrency=2)
    first, second = bench.children
    bench.supervisor.restart()
    bench.supervisor.poll(1.0)
    one = bench.child("w/1.2")
    bench.loads(one)
    bench.supervisor.poll(1.1)
    bench.unusable(bench.child("w/2.2"), "there is no module a")
    bench.supervisor.poll(1.2)
    assert one.asked
    one.die(-signal.SIGTERM)
    bench.supervisor.poll(1.3)
    assert bench.children == [first, second]
    assert not first.asked
    assert not second.asked
    assert caplog.text.count("there is no module a") == 1
    bench.supervisor.restart()  # the next SIGHUP
    bench.supervisor.poll(2.0)
    assert bench.child("w/1.3") in bench.children


def test_a_child_that_dies_in_a_reload_waits_for_its_successor() -> None:
    bench = SupervisorBench()
    (old,) = bench.children
    bench.supervisor.restart()
    bench.supervisor.poll(1.0)
    new = bench.child("w/1.2")
    old.die(-signal.SIGKILL)
    bench.supervisor.poll(1.1)
    assert bench.children == [new]
    bench.loads(new)
    bench.supervisor.poll(1.2)
    assert new.told_to_go


def test_after_a_failed_reload_a_new_child_brings_the_others_along() -> None:
    bench = SupervisorBench(concurrency=2)
    first, second = bench.children
    bench.supervisor.restart()
    bench.supervisor.poll(1.0)
    bench.unusable(bench.child("w/1.2"), "broken")
    bench.supervisor.poll(1.1)
    first.die(-signal.SIGKILL)  # and the app has been mended meanwhile
    bench.supervisor.poll(1.2)
    bench.greet(bench.child("w/1.3"))
    bench.supervisor.poll(1.3)
    successor = bench.child("w/2.2")
    bench.loads(successor)
    bench.supervisor.poll(1.4)
    assert second.asked


def test_a_drain_ends_successors_too() -> None:
    bench = SupervisorBench()
    bench.supervisor.restart()
    bench.supervisor.poll(1.0)
    bench.supervisor.drain()
    for child in bench.children:
        assert child.asked
        child.die(-signal.SIGTERM)
    bench.supervisor.poll(1.1)
    assert bench.supervisor.over


def test_a_drain_replaces_nobody() -> None:
    bench = SupervisorBench(concurrency=2)
    bench.supervisor.drain()
    assert all(child.asked for child in bench.children)
    for child in bench.children:
        child.die(0)
    assert not bench.supervisor.over
    bench.supervisor.poll(1.0)
    assert bench.supervisor.over


def test_what_a_killed_worker_was_running_costs_no_attempt() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    child.runs(77)
    bench.supervisor.drain()
    bench.supervisor.kill()
    child.die(-signal.SIGKILL)
    bench.supervisor.poll(1.0)
    assert bench.host.reaps[0].running == []


def test_burst_ends_when_every_child_found_nothing() -> None:
    bench = SupervisorBench(concurrency=2, burst=True)
    first, second = bench.children
    first.pending.append(notes.Drained(["3 messages are left"]))
    first.die(0)
    second.runs(77)
    second.die(-signal.SIGSEGV)
    bench.supervisor.poll(1.0)
    assert [child.consumer for child in bench.children] == ["w/2.2"]
    assert bench.host.left == ["3 messages are left"]
    bench.children[0].pending.append(notes.Drained())
    bench.children[0].die(0)
    bench.supervisor.poll(2.0)
    assert bench.supervisor.over


def test_a_fork_that_the_system_refuses_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = SupervisorBench(concurrency=2)
    first, second = bench.children

    def refused(*args: Any, **more: Any) -> FakeChild:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(supervisor, "Child", refused)
    monkeypatch.setattr(supervisor.log, "propagate", True)
    first.ready_at = -60.0
    first.slot.words[Slot.STARTED] = 1
    first.die(-signal.SIGKILL)
    bench.supervisor.poll(10.0)
    assert bench.supervisor.poll(10.0) == SCARCE_DELAY
    assert bench.children == [second]
    assert not bench.supervisor.over
    assert not bench.host.failures
    assert "Too many open files" in caplog.text
    monkeypatch.setattr(supervisor, "Child", FakeChild)
    bench.supervisor.poll(10.0 + SCARCE_DELAY)
    assert len(bench.children) == 2


def test_a_reload_whose_fork_the_system_refuses_goes_on_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = SupervisorBench()
    (old,) = bench.children

    def refused(*args: Any, **more: Any) -> FakeChild:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(supervisor, "Child", refused)
    bench.supervisor.restart()
    assert bench.supervisor.poll(10.0) == SCARCE_DELAY
    monkeypatch.setattr(supervisor, "Child", FakeChild)
    bench.supervisor.poll(10.0 + SCARCE_DELAY / 2)  # called for another reason
    assert bench.children == [old]
    bench.supervisor.poll(10.0 + SCARCE_DELAY)
    assert len(bench.children) == 2
    bench.loads(bench.children[1])
    bench.supervisor.poll(12.0)
    assert old.asked


def test_a_child_whose_socket_is_closed_is_watched_no_more() -> None:
    bench = SupervisorBench()
    (child,) = bench.children
    notes_of = child.notes

    def end() -> list[notes.Note]:
        child.mute = True
        return notes_of()

    child.notes = end  # type: ignore[method-assign]
    bench.supervisor.listen(child)  # type: ignore[arg-type]
    assert bench.gone == [child]
    child.die(0)
    bench.supervisor.poll(5.0)
    assert bench.gone == [child]


def test_a_child_that_has_left_and_does_not_end_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: 100.0)
    bench = SupervisorBench(shutdown_timeout=7.0)
    (child,) = bench.children
    child.slot.words[Slot.STARTED] = 1
    child.pending.append(notes.Left())
    bench.supervisor.listen(child)  # type: ignore[arg-type]
    assert bench.supervisor.poll(101.0) == 6.0
    assert child.signals == []
    bench.supervisor.poll(107.0)
    bench.supervisor.poll(108.0)
    assert child.signals == [signal.SIGKILL]
    assert "does not end" in caplog.text
    child.die(-signal.SIGKILL)
    bench.supervisor.poll(109.0)
    assert bench.children[0] is not child
    assert bench.host.reaps[0].running == []
