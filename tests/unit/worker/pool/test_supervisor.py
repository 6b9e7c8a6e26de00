"""The supervisor's decisions, with children that are not processes."""

from __future__ import annotations

import errno
import signal
from typing import Any

import pytest

from taskq.protocol.consuming import Reap
from taskq.worker.pool import notes, supervisor
from taskq.worker.pool.child import EXIT_TOLD, EXIT_WORN_OUT
from taskq.worker.pool.supervisor import RAPID_LIMIT, SCARCE_DELAY, Supervisor
from taskq.worker.runtime.slot import Slot
from taskq.worker.settings import Settings


class FakeChild:
    """A child that does what it is told; `die` ends it."""

    made: list[FakeChild] = []

    def __init__(self, settings: Settings, worker: str, consumer: str, **more: Any) -> None:
        self.consumer = consumer
        self.slot = Slot()
        self.pid = 1000 + len(self.made)
        self.ready_at: float | None = None
        self.left_at: float | None = None
        self.asked = self.drained = self.cut = self.closed = self.mute = False
        self.timed_out = self.terminated = 0
        self.exit_code: int | None = None
        self.pending: list[notes.Note] = []
        self.signals: list[signal.Signals] = []
        self.made.append(self)

    @property
    def ready(self) -> bool:
        return self.ready_at is not None

    def notes(self) -> list[notes.Note]:
        pending, self.pending = self.pending, []
        return pending

    def stop(self) -> None:
        self.asked = True

    def kill(self) -> None:
        self.signals.append(signal.SIGKILL)

    def close(self) -> None:
        self.closed = True

    def die(self, code: int) -> None:
        self.exit_code = code

    def runs(self, receipt: int) -> None:
        self.slot.ints[Slot.RUNNING] = receipt
        self.slot.ints[Slot.STARTED] += 1


class Host:
    """Records what the supervisor asks for."""

    def __init__(self) -> None:
        self.reaps: list[Reap] = []
        self.failures: list[tuple[int, str]] = []

    def reap(self, request: Reap) -> None:
        self.reaps.append(request)

    def hello(self, note: notes.Hello) -> None:
        """Nobody listens."""

    def fail(self, code: int, sentence: str, traceback: str = "") -> None:
        self.failures.append((code, sentence))

    def forget_in_child(self) -> None:
        """Nothing was inherited."""


class Scene:
    """A supervisor at time 0, with its children started and ready."""

    def __init__(self, ready: bool = True, **settings: Any) -> None:
        FakeChild.made = []
        self.host = Host()
        self.supervisor = Supervisor(
            Settings(app="a:b", **settings), "w", self.host, lambda child: None, lambda child: None
        )
        self.supervisor.poll(0.0)
        if ready:
            for child in self.children:
                self.greet(child)

    @property
    def children(self) -> list[FakeChild]:
        return self.supervisor.children  # type: ignore[return-value]

    def greet(self, child: FakeChild) -> None:
        child.pending.append(notes.Hello("q", "u", [], []))
        self.supervisor.listen(child)  # type: ignore[arg-type]
        child.ready_at = 0.0


@pytest.fixture(autouse=True)
def fake_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "Child", FakeChild)


def test_it_starts_as_many_as_it_was_told() -> None:
    scene = Scene(concurrency=3)
    assert [child.consumer for child in scene.children] == ["w/1.1", "w/2.1", "w/3.1"]
    assert scene.supervisor.all_ready


def test_a_dead_child_is_reaped_and_replaced_alone() -> None:
    scene = Scene(concurrency=2)
    dead, other = scene.children
    dead.runs(77)
    dead.die(-signal.SIGKILL)
    scene.supervisor.poll(5.0)
    (reap,) = scene.host.reaps
    assert (reap.consumer, reap.running, reap.timed_out, reap.cancelled) == (
        "w/1.1",
        [77],
        False,
        False,
    )
    assert reap.reason == "the worker process was killed by SIGKILL"
    assert dead.closed
    assert scene.children[0].consumer == "w/1.2"
    assert scene.children[1] is other


def test_a_task_that_leaves_by_exit_code_0_is_lost_too() -> None:
    scene = Scene()
    scene.children[0].runs(77)
    scene.children[0].die(0)
    scene.supervisor.poll(5.0)
    assert scene.host.reaps[0].running == [77]
    assert scene.children[0].consumer == "w/1.2"


def test_a_worn_out_child_costs_nothing() -> None:
    scene = Scene()
    scene.children[0].slot.ints[Slot.STARTED] = 10
    scene.children[0].die(EXIT_WORN_OUT)
    scene.supervisor.poll(5.0)
    assert scene.host.reaps[0].running == []
    assert scene.children[0].consumer == "w/1.2"


# --- deadlines --------------------------------------------------------------------------------


def test_a_task_over_its_deadline_is_killed_and_reaped_as_timed_out() -> None:
    scene = Scene()
    (child,) = scene.children
    child.runs(77)
    child.slot.deadline = 10.0
    assert scene.supervisor.poll(4.0) == 6.0
    assert child.slot.armed == 10.0
    assert child.signals == []
    scene.supervisor.poll(10.0)
    assert child.signals == [signal.SIGKILL]
    scene.supervisor.poll(10.1)
    assert child.signals == [signal.SIGKILL]
    child.die(-signal.SIGKILL)
    scene.supervisor.poll(10.2)
    assert scene.host.reaps[0].timed_out


def test_a_task_that_ended_in_the_last_moment_is_not_reported_as_timed_out() -> None:
    scene = Scene()
    (child,) = scene.children
    child.runs(77)
    child.slot.deadline = 10.0
    scene.supervisor.poll(10.0)
    child.runs(78)
    child.die(-signal.SIGKILL)
    scene.supervisor.poll(10.1)
    assert (scene.host.reaps[0].running, scene.host.reaps[0].timed_out) == ([78], False)


def test_nothing_running_is_nothing_to_wait_for() -> None:
    scene = Scene()
    scene.children[0].slot.armed = 10.0
    assert scene.supervisor.poll(4.0) is None
    assert scene.children[0].slot.armed == 0.0


# --- cancellation -----------------------------------------------------------------------------


def test_a_running_task_is_terminated_with_its_child() -> None:
    scene = Scene(concurrency=2)
    busy, idle = scene.children
    busy.runs(77)
    scene.supervisor.terminate([77])
    assert (busy.signals, idle.signals) == ([signal.SIGKILL], [])
    busy.die(-signal.SIGKILL)
    scene.supervisor.poll(1.0)
    assert scene.host.reaps[0].cancelled


def test_a_cancellation_reaches_every_child() -> None:
    scene = Scene(concurrency=2)
    scene.supervisor.cancel([77])
    assert all(child.slot.is_cancelled(77) for child in scene.children)


# --- start and end ----------------------------------------------------------------------------


def test_children_that_die_of_their_start_are_replaced_ever_later_until_it_gives_up() -> None:
    scene = Scene(ready=False)
    now, delays = 0.0, []
    for _ in range(RAPID_LIMIT):
        scene.children[0].die(9)
        delay = scene.supervisor.poll(now)
        assert delay is not None
        delays.append(delay)
        now += delay
        scene.supervisor.poll(now)
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]
    ((code, sentence),) = scene.host.failures
    assert code == 1
    assert "exited with code 9" in sentence


def test_a_death_in_work_is_no_death_of_the_start() -> None:
    scene = Scene(ready=False)
    for _ in range(RAPID_LIMIT * 2):
        scene.children[0].runs(77)
        scene.children[0].die(7)
        scene.supervisor.poll(0.1)
    assert scene.host.failures == []


def test_an_import_error_at_the_start_ends_the_worker() -> None:
    scene = Scene(ready=False)
    (child,) = scene.children
    child.pending.append(notes.Unusable("no such module", ""))
    child.die(EXIT_TOLD)
    scene.supervisor.poll(0.1)
    assert scene.host.failures == [(2, "no such module")]


def test_an_import_error_in_a_replacement_leaves_the_others_at_work() -> None:
    scene = Scene(concurrency=2)
    scene.supervisor.restart()
    scene.supervisor.poll(1.0)
    first, second = scene.children
    assert (first.asked, second.asked) == (True, False)
    first.die(0)
    scene.supervisor.poll(1.1)
    new = scene.children[0]
    new.pending.append(notes.Unusable("broken", "Traceback"))
    new.die(EXIT_TOLD)
    delay = scene.supervisor.poll(1.2)
    assert scene.host.failures == []
    assert delay is not None
    assert not second.asked
    scene.supervisor.poll(1.2 + delay)
    assert scene.children[0].consumer == "w/1.3"


def test_a_restart_waits_for_each_replacement() -> None:
    scene = Scene(concurrency=2)
    scene.supervisor.restart()
    scene.supervisor.poll(1.0)
    first, second = scene.children
    first.die(0)
    scene.supervisor.poll(1.1)
    scene.supervisor.poll(1.2)
    assert not second.asked
    scene.greet(scene.children[0])
    scene.supervisor.poll(1.3)
    assert second.asked


def test_a_drain_replaces_nobody() -> None:
    scene = Scene(concurrency=2)
    scene.supervisor.drain()
    assert all(child.asked for child in scene.children)
    for child in scene.children:
        child.die(0)
    assert not scene.supervisor.over
    scene.supervisor.poll(1.0)
    assert scene.supervisor.over


def test_what_a_killed_worker_was_running_costs_no_attempt() -> None:
    scene = Scene()
    (child,) = scene.children
    child.runs(77)
    scene.supervisor.drain()
    scene.supervisor.kill()
    child.die(-signal.SIGKILL)
    scene.supervisor.poll(1.0)
    assert scene.host.reaps[0].running == []


def test_burst_ends_when_every_child_found_nothing() -> None:
    scene = Scene(concurrency=2, burst=True)
    first, second = scene.children
    first.pending.append(notes.Drained())
    first.die(0)
    second.runs(77)
    second.die(-signal.SIGSEGV)
    scene.supervisor.poll(1.0)
    assert [child.consumer for child in scene.children] == ["w/2.2"]
    scene.children[0].pending.append(notes.Drained())
    scene.children[0].die(0)
    scene.supervisor.poll(2.0)
    assert scene.supervisor.over


def test_a_fork_that_the_system_refuses_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(concurrency=2)
    first, second = scene.children

    def refused(*args: Any, **more: Any) -> FakeChild:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(supervisor, "Child", refused)
    monkeypatch.setattr(supervisor.log, "propagate", True)
    first.ready_at = -60.0
    first.slot.ints[Slot.STARTED] = 1
    first.die(-signal.SIGKILL)
    scene.supervisor.poll(10.0)
    assert scene.supervisor.poll(10.0) == SCARCE_DELAY
    assert scene.children == [second]
    assert not scene.supervisor.over
    assert not scene.host.failures
    assert "cannot be started, trying again: Too many open files" in caplog.text
    monkeypatch.setattr(supervisor, "Child", FakeChild)
    scene.supervisor.poll(10.0 + SCARCE_DELAY)
    assert len(scene.children) == 2


def test_a_child_whose_socket_is_closed_is_watched_no_more() -> None:
    scene = Scene()
    gone: list[object] = []
    scene.supervisor._unwatch = gone.append
    (child,) = scene.children
    notes_of = child.notes

    def end() -> list[notes.Note]:
        child.mute = True
        return notes_of()

    child.notes = end  # type: ignore[method-assign]
    scene.supervisor.listen(child)  # type: ignore[arg-type]
    assert gone == [child]
    child.die(0)
    scene.supervisor.poll(5.0)
    assert gone == [child]


def test_a_child_that_has_left_and_does_not_end_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: 100.0)
    scene = Scene(shutdown_timeout=7.0)
    (child,) = scene.children
    child.slot.ints[Slot.STARTED] = 1
    child.pending.append(notes.Left())
    scene.supervisor.listen(child)  # type: ignore[arg-type]
    assert scene.supervisor.poll(101.0) == 6.0
    assert child.signals == []
    scene.supervisor.poll(107.0)
    scene.supervisor.poll(108.0)
    assert child.signals == [signal.SIGKILL]
    assert "does not end" in caplog.text
    child.die(-signal.SIGKILL)
    scene.supervisor.poll(109.0)
    assert scene.children[0] is not child
    assert scene.host.reaps[0].running == []
