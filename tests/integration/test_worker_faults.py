"""Faults of worker processes and of what they are given, made for real."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskq import ResultHandle
from taskq.errors import PayloadTooLarge, SerializationError, TaskFailed, WorkerLost
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from tests.integration import worker_app as app
from tests.kit.files import ROOT
from tests.kit.messages import naming
from tests.kit.processes import send
from tests.kit.scene import Scene
from tests.kit.waiting import wait_until
from tests.kit.worker import PATIENCE


def make_claims_large(scene: Scene) -> None:
    app.add.starmap((n, n) for n in range(2000)).results(PATIENCE)


# --- poison -----------------------------------------------------------------------------------


def test_17_a_segfault_goes_to_the_dead_letters_and_harms_nobody(scene: Scene) -> None:
    scene.worker("-c", "2")
    before = app.add.starmap((n, n) for n in range(200))
    poison = app.segfault()
    after = app.add.starmap((n, n) for n in range(200))
    with pytest.raises(WorkerLost, match=naming("SIGSEGV")):
        poison.result(PATIENCE)
    assert len(before.results(PATIENCE)) == len(after.results(PATIENCE)) == 200
    assert [(entry.id, entry.deliveries) for entry in app.queue.dlq.list()] == [(poison.id, 2)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere RLIMIT_AS limits nothing")
def test_17_a_task_that_takes_all_memory_fails_and_harms_nobody(scene: Scene) -> None:
    scene.worker("-c", "2")
    before = app.add.starmap((n, n) for n in range(200))
    poison = app.devour()
    after = app.add.starmap((n, n) for n in range(200))
    with pytest.raises((MemoryError, WorkerLost)):  # whichever the limit hits first
        poison.result(PATIENCE)
    assert len(before.results(PATIENCE)) == len(after.results(PATIENCE)) == 200
    assert [entry.id for entry in app.queue.dlq.list()] == [poison.id]


# --- between the end of a task and its ack ----------------------------------------------------


def test_20_killed_between_done_and_ack_it_runs_twice_and_has_one_result(scene: Scene) -> None:
    scene.worker()
    make_claims_large(scene)
    app.queue.pause()
    done = [app.gate(None, scene.path(f"runs{n}")) for n in range(3)]
    killer = app.die_the_first_time(scene.path("killer"))
    app.queue.resume()  # one claim takes them all: three are done and not settled when it dies
    assert killer.result(PATIENCE) == int(scene.lines("killer")[1])
    for n, handle in enumerate(done):
        first, second = scene.lines(f"runs{n}")
        assert first == scene.lines("killer")[0] != second
        assert handle.result(PATIENCE) == int(second)
    (group,) = app.queue.stats().queues
    assert (group.succeeded, group.dead, group.leased, group.ready) == (2004, 0, 0, 0)


def test_20_killed_after_the_ack_it_does_not_run_again(scene: Scene) -> None:
    scene.worker()
    done = app.gate(None, scene.path("runs"))
    pid = done.result(PATIENCE)
    send(pid, signal.SIGKILL)
    assert app.pid().result(PATIENCE) != pid
    assert scene.lines("runs") == [str(pid)]
    assert done.info().deliveries == 1


def test_22_a_task_that_was_stopped_past_its_lease_fails_to_extend(scene: Scene) -> None:
    first = scene.worker()
    handle = app.extend_after(scene.path("gate"), scene.path("log"))
    wait_until(lambda: scene.lines("log"))
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        scene.worker()
        wait_until(lambda: len(scene.lines("log")) == 2)
        Path(scene.path("gate")).touch()
        fence = handle.result(PATIENCE)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    wait_until(lambda: len(scene.lines("log")) == 4)
    began, again, extended, lost = scene.lines("log")
    assert (again, extended) == (f"began:{fence}", f"extended:{fence}")
    assert lost == began.replace("began", "lost")
    assert int(began.partition(":")[2]) < fence
    assert app.add(1, 2).result(PATIENCE) == 3
    assert app.queue.handle(handle.id).result(PATIENCE) == fence


def test_20_a_task_that_closes_every_descriptor_is_settled_and_its_process_replaced(
    scene: Scene,
) -> None:
    scene.worker("--batch", "1")
    app.queue.pause()
    closer, waiting = app.close_descriptors(), app.pid()
    app.queue.resume()  # the reply that settles the first brings the second
    pid = closer.result(PATIENCE)
    assert closer.info().attempts == 1
    assert waiting.result(PATIENCE) != pid
    assert waiting.info().attempts == 1
    again = app.close_descriptors().result(PATIENCE)
    assert app.pid().result(PATIENCE) != again


def test_24_signal_handlers_that_a_task_leaves_do_not_cut_the_next_one_short(scene: Scene) -> None:
    worker = scene.worker()
    pid = app.leave_handlers().result(PATIENCE)
    running = app.gate(scene.path("open"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    os.killpg(worker.pid, signal.SIGTERM)
    wait_until(lambda: "SIGTERM" in worker.output)
    Path(scene.path("open")).touch()
    assert worker.exit_code() == 0
    assert running.result(PATIENCE) == pid


# --- forks ------------------------------------------------------------------------------------


def test_28_a_task_forks_while_a_thread_holds_the_locks_of_logging(scene: Scene) -> None:
    worker = scene.worker()
    assert app.fork_under_locks().result(PATIENCE) == 0
    assert "said by the forked process" in worker.output
    assert app.queue.handle("asked-by-the-fork").result(PATIENCE) == 42


def test_28_a_producer_forks_while_threads_log_and_wait(scene: Scene) -> None:
    scene.worker()
    program = f"""
import asyncio, faulthandler, logging, os, sys, threading
from tests.integration.worker_app import add, queue
queue.use_broker({scene.url!r})
logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
over = threading.Event()
def chatter():
    while not over.is_set():
        logging.info("chatter")
def waiting():
    async def many():
        while not over.is_set():
            assert await add(1, 2) == 3
    asyncio.run(many())
async def awaited(number):
    return await add(number, 2)
# CPython cannot fork while another thread imports: so all of it is imported before
assert add(1, 2).result(15) == asyncio.run(awaited(1)) == 3
threads = [threading.Thread(target=each, daemon=True) for each in (chatter, chatter, waiting)]
for thread in threads:
    thread.start()
for number in range(20):
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(20, exit=True)
        logging.info("a child")
        assert add(number, 1).result(15) == number + 1
        os._exit(0 if asyncio.run(awaited(number)) == number + 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
over.set()
for thread in threads:
    thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# --- what cannot be loaded --------------------------------------------------------------------


class Hostile:
    """Loading it calls something."""

    def __init__(self, call: object, *args: object) -> None:
        self._reduced = call, args

    def __reduce__(self) -> tuple[object, ...]:
        return self._reduced


def lives_on(pid: int) -> bool:
    return app.pid().result(PATIENCE) == pid


def test_54_a_result_over_its_limit_fails_the_task(scene: Scene) -> None:
    scene.worker()
    pid = app.pid().result(PATIENCE)
    handle = app.return_bytes(64 * 2**20)
    with pytest.raises(PayloadTooLarge, match="the result takes 67108"):
        handle.result(PATIENCE)
    assert handle.status() == "dead"
    assert lives_on(pid)


def test_58_an_exception_that_does_not_load_arrives_as_text(scene: Scene) -> None:
    scene.worker()
    pid = app.pid().result(PATIENCE)
    with pytest.raises(TaskFailed, match="Unbuildable: 1 and 2") as caught:
        app.raise_unbuildable().result(PATIENCE)
    assert "in raise_unbuildable" in str(caught.value.__cause__)
    assert lives_on(pid)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Hostile(importlib.import_module, "nowhere_to_be_found"), "nowhere_to_be_found"),
        (Hostile(sys.exit, 3), "SystemExit"),
    ],
    ids=["import", "exit"],
)
def test_59_arguments_that_do_not_load_are_dead_at_once(
    scene: Scene, value: object, text: str
) -> None:
    scene.worker()
    pid = app.pid().result(PATIENCE)
    handle = app.anything.options(retries=5)(value)
    error = handle.exception(PATIENCE)
    assert error is not None
    assert text in f"{type(error).__name__}: {error}"
    (entry,) = app.queue.dlq.list()
    assert (entry.id, entry.attempts) == (handle.id, 1)
    assert text in entry.reason
    assert lives_on(pid)


def test_59_arguments_that_kill_whoever_loads_them_end_as_dead_letters(scene: Scene) -> None:
    scene.worker()
    handle = app.anything.options(max_deliveries=2)(Hostile(os._exit, 9))
    with pytest.raises(WorkerLost, match="exited with code 9"):
        handle.result(PATIENCE)
    assert [entry.deliveries for entry in app.queue.dlq.list()] == [2]
    assert app.add(1, 2).result(PATIENCE) == 3


def test_60_a_function_by_value_of_another_python_is_refused_by_the_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.worker()
    pid = app.pid().result(PATIENCE)
    with monkeypatch.context() as patch:
        patch.setattr("taskq.codec.envelope.VALUE", bytes([1, ord("v"), 3, 99]))
        # the function's bytes would crash a process that loads them
        payload = app.queue.codec.encode_call(
            "w", "v99", "m.f", (), {}, function=b"\x80\x05garbage"
        )
    app.queue.broker.call(
        Enqueue(
            queue="w", task="m.f", options=Options(carries_code=True), calls=[Call("v99", payload)]
        )
    )
    handle: ResultHandle[object] = app.queue.handle("v99")
    with pytest.raises(SerializationError, match=r"Python 3\.99.* Python 3\."):
        handle.result(PATIENCE)
    assert handle.info().attempts == 1
    assert lives_on(pid)
