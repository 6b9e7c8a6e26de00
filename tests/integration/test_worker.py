"""Worker processes: what they run, how they die, and what becomes of their tasks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskq.errors import TaskCancelled, TaskTimeout, WorkerLost
from taskq.protocol.operating import Ping
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from tests.integration import worker_app as app
from tests.kit.files import ROOT
from tests.kit.marks import on_linux
from tests.kit.messages import missing, naming
from tests.kit.processes import is_alive, send
from tests.kit.scene import Scene
from tests.kit.waiting import wait_until
from tests.kit.worker import PATIENCE

# --- running ----------------------------------------------------------------------------------


def test_tasks_run_in_all_children(scene: Scene) -> None:
    scene.worker("-c", "2")
    sums = app.add.starmap((n, n) for n in range(500))
    assert sums.results(PATIENCE) == [2 * n for n in range(500)]
    assert app.add_later(2, 3).result(PATIENCE) == 5
    gates = [app.gate(scene.path("open"), scene.path("in")) for _ in range(2)]
    wait_until(lambda: len(scene.lines("in")) == 2)
    Path(scene.path("open")).touch()
    assert len({gate.result(PATIENCE) for gate in gates}) == 2


def test_retries_follow_the_backoff(scene: Scene) -> None:
    scene.worker()
    assert app.third_time(scene.path("runs")).result(PATIENCE) == 3
    assert scene.lines("runs") == ["run"] * 3


def test_a_slow_task_holds_no_fast_one(scene: Scene) -> None:
    scene.worker("-c", "2")
    app.add.starmap((n, n) for n in range(2000)).results(PATIENCE)  # now claims are large
    slow, *fast = app.gate.map([scene.path("open")] + [None] * 60)
    for handle in fast:
        handle.result(PATIENCE)
    assert slow.status() == "leased"
    Path(scene.path("open")).touch()
    slow.result(PATIENCE)


def test_an_unknown_task_waits_for_a_worker_that_knows_it(scene: Scene) -> None:
    worker = scene.worker()
    payload = app.queue.codec.encode_call("w", "x1", "tests.integration.worker_app.extra", (), {})
    app.queue.broker.call(
        Enqueue(
            queue="w",
            task="tests.integration.worker_app.extra",
            options=Options(),
            calls=[Call("x1", payload)],
        )
    )
    assert app.add(1, 2).result(PATIENCE) == 3
    (group,) = app.queue.stats().queues
    assert group.unknown == {"tests.integration.worker_app.extra": 1}
    wait_until(lambda: "--include tests.integration.worker_app" in worker.output)
    assert worker.output.count("task tests.integration.worker_app.extra") == 1
    scene.worker(**{app.EXTRA: "1"})
    assert app.queue.handle("x1").result(PATIENCE) == "known"


def test_a_second_group_gets_its_own_copy(scene: Scene) -> None:
    audit = scene.worker("-g", "audit")
    scene.worker()
    log = scene.path("runs")
    app.gate(None, log).result(PATIENCE)
    wait_until(lambda: len(scene.lines("runs")) == 2)
    assert len(set(scene.lines("runs"))) == 2
    assert audit.stop() == 0


def test_a_task_may_use_multiprocessing(scene: Scene) -> None:
    worker = scene.worker()
    assert app.use_a_process().result(PATIENCE) == -signal.SIGTERM
    assert worker.stop() == 0


# --- children that die ------------------------------------------------------------------------


def test_16_18_a_killed_child_is_replaced_and_its_task_runs_again(scene: Scene) -> None:
    worker = scene.worker("-c", "2")
    other = app.gate(scene.path("open"), scene.path("other"))
    wait_until(lambda: scene.lines("other"))
    handle = app.die_once(scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    send(int(scene.lines("runs")[0]), signal.SIGKILL)
    assert handle.result(PATIENCE) == int(scene.lines("runs")[1])
    assert len(scene.lines("runs")) == 2
    Path(scene.path("open")).touch()
    assert other.result(PATIENCE) == int(scene.lines("other")[0])
    assert "killed by SIGKILL" in worker.output


def test_17_poison_goes_to_the_dead_letters_and_harms_nobody(scene: Scene) -> None:
    scene.worker("-c", "2")
    handles = app.add.starmap((n, n) for n in range(200))
    poison = app.poison()
    more = app.add.starmap((n, n) for n in range(200))
    with pytest.raises(WorkerLost, match="exited with code 7"):
        poison.result(PATIENCE)
    assert len(handles.results(PATIENCE)) == len(more.results(PATIENCE)) == 200
    (entry,) = app.queue.dlq.list()
    assert entry.id == poison.id


@on_linux
def test_19_children_die_with_their_launcher(scene: Scene) -> None:
    worker = scene.worker()
    child = app.pid().result(PATIENCE)
    app.gate(scene.path("never"), scene.path("in"))
    wait_until(lambda: scene.lines("in"))
    worker.kill()
    wait_until(lambda: not is_alive(child))


def test_21_a_task_that_holds_the_gil_keeps_its_lease(scene: Scene) -> None:
    scene.worker("-c", "2")
    assert app.hold_gil(scene.path("runs"), 2.5).result(PATIENCE) == "held"
    assert len(scene.lines("runs")) == 1


@pytest.mark.parametrize("task", [app.oversleep, app.oversleep_later, app.stubborn])
def test_23_a_task_over_its_time_is_ended_and_the_slot_recovers(scene: Scene, task: object) -> None:
    scene.worker()
    with pytest.raises(TaskTimeout, match=naming("timeout")):
        task().result(PATIENCE)  # type: ignore[operator]
    assert app.add(1, 2).result(PATIENCE) == 3


def test_a_child_is_replaced_after_so_many_tasks(scene: Scene) -> None:
    worker = scene.worker("--max-tasks-per-child", "5")
    pids = app.gate.map([None] * 20).results(PATIENCE)
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [5, 5, 5, 5]
    assert "died" not in worker.output


def test_a_child_is_replaced_when_it_has_grown(scene: Scene) -> None:
    scene.worker("--max-memory-per-child", "120M")
    pids = [app.leak().result(PATIENCE) for _ in range(4)]
    assert len(set(pids)) >= 2


def test_a_cancelled_task_may_stop_by_itself(scene: Scene) -> None:
    scene.worker()
    handle = app.obedient(scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    handle.cancel()
    with pytest.raises(TaskCancelled):
        handle.result(PATIENCE)


def test_a_terminated_task_is_killed(scene: Scene) -> None:
    scene.worker()
    handle = app.gate(scene.path("never"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    handle.cancel(terminate=True)
    with pytest.raises(TaskCancelled):
        handle.result(PATIENCE)
    assert app.add(1, 2).result(PATIENCE) == 3
    assert len(scene.lines("runs")) == 1


# --- signals ----------------------------------------------------------------------------------


def test_term_lets_the_running_task_finish(scene: Scene) -> None:
    worker = scene.worker()
    handle = app.gate(scene.path("open"), scene.path("runs"))
    waiting = app.add(1, 2)
    wait_until(lambda: scene.lines("runs"))
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "SIGTERM" in worker.output)
    Path(scene.path("open")).touch()
    assert worker.exit_code() == 0
    assert handle.result(PATIENCE) == int(scene.lines("runs")[0])
    assert waiting.status() == "ready"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_24_a_signal_to_the_whole_group_drains(scene: Scene, number: signal.Signals) -> None:
    worker = scene.worker("-c", "2")
    handle = app.gate(scene.path("open"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    os.killpg(worker.pid, number)
    wait_until(lambda: number.name in worker.output)
    Path(scene.path("open")).touch()
    assert worker.exit_code() == 0
    assert handle.status() == "succeeded"


def test_26_what_has_not_begun_is_handed_back_at_once(scene: Scene) -> None:
    worker = scene.worker()
    app.add.starmap((n, n) for n in range(2000)).results(PATIENCE)  # now claims are large
    first, *rest = app.gate.map([scene.path("open")] + [None] * 20)
    wait_until(lambda: first.status() == "leased")
    worker.signal(signal.SIGTERM)
    wait_until(lambda: all(handle.status() == "ready" for handle in rest))
    Path(scene.path("open")).touch()
    assert worker.exit_code() == 0
    assert {handle.info().attempts for handle in rest} == {0}


def test_27_after_the_shutdown_timeout_the_rest_is_handed_back_unspent(scene: Scene) -> None:
    worker = scene.worker("--shutdown-timeout", "0.2")
    handle = app.gate(scene.path("open"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    assert worker.stop() == 1
    assert handle.status() == "ready"
    assert handle.info().attempts == 0


def test_27_after_the_shutdown_timeout_what_is_acknowledged_early_is_lost_and_counted(
    scene: Scene,
) -> None:
    worker = scene.worker("--shutdown-timeout", "0.2")
    app.add.starmap((n, n) for n in range(2000)).results(PATIENCE)  # now claims are large
    app.queue.pause()
    app.gate.options(ack="early")(scene.path("open"), scene.path("runs"))
    early = app.note_early.map([scene.path("noted")] * 4)
    app.queue.resume()  # one claim takes them all
    wait_until(lambda: scene.lines("runs"))
    assert {handle.status() for handle in early} == {"succeeded"}
    assert worker.stop() == 1
    assert not missing(worker.output, "5 calls", "lost")
    assert "handed back" not in worker.output
    assert not scene.lines("noted")


def test_27_what_cannot_be_settled_until_the_shutdown_timeout_is_no_clean_exit(
    scene: Scene,
) -> None:
    worker = scene.worker("--shutdown-timeout", "2")
    app.gate(scene.path("open"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    broker = scene.broker_pid()
    send(broker, signal.SIGSTOP)
    try:
        Path(scene.path("open")).touch()
        assert worker.stop() == 1
    finally:
        send(broker, signal.SIGCONT)
    assert not missing(worker.output, "1 messages", "not settled")


def test_27_an_idle_worker_ends_clean_though_the_broker_does_not_answer(scene: Scene) -> None:
    worker = scene.worker("--shutdown-timeout", "2")
    app.pid().result(PATIENCE)
    broker = scene.broker_pid()
    send(broker, signal.SIGSTOP)
    try:
        assert worker.stop() == 0
    finally:
        send(broker, signal.SIGCONT)


def test_a_second_signal_hands_back_now(scene: Scene) -> None:
    worker = scene.worker()
    handle = app.gate(scene.path("open"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "SIGTERM" in worker.output)
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 1
    assert handle.status() == "ready"


def test_22_what_a_stopped_worker_reports_after_its_lease_is_rejected(scene: Scene) -> None:
    first = scene.worker()
    gate, began = scene.path("gate"), scene.path("began")
    handle = app.gate.options(visibility_timeout=1)(gate, began)
    wait_until(lambda: len(scene.lines("began")) == 1)
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        scene.worker()
        wait_until(lambda: len(scene.lines("began")) == 2, PATIENCE)
        Path(gate).touch()
        second = int(scene.lines("began")[1])
        assert handle.result(PATIENCE) == second
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    wait_until(lambda: f"LeaseLost: {handle.id}" in first.output, PATIENCE)
    assert app.queue.handle(handle.id).result(PATIENCE) == second
    assert len(scene.lines("began")) == 2


def test_22_a_late_result_does_not_end_the_run_of_another_worker(scene: Scene) -> None:
    first = scene.worker()
    handle = app.own_gate(scene.path("gate"), scene.path("began"))
    wait_until(lambda: len(scene.lines("began")) == 1)
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        scene.worker()
        wait_until(lambda: len(scene.lines("began")) == 2, PATIENCE)
        one, other = scene.lines("began")
        Path(scene.path(f"gate{one}")).touch()
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    wait_until(lambda: f"LeaseLost: {handle.id}" in first.output, PATIENCE)
    assert handle.status() == "leased"
    Path(scene.path(f"gate{other}")).touch()
    assert handle.result(PATIENCE) == int(other)
    assert len(scene.lines("began")) == 2


def test_a_worker_drains_when_the_program_that_needs_it_was_killed(scene: Scene) -> None:
    program = f"""
import os, signal
from tests.integration.worker_app import gate, queue
from tests.kit.waiting import wait_until
queue.use_broker({scene.url!r})
workers = queue.workers(1).__enter__()
with open({scene.path("told")!r}, "w") as told:
    print(workers.pid, gate({scene.path("gate")!r}, {scene.path("began")!r}).id, file=told)
wait_until(lambda: os.path.exists({scene.path("began")!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60)
    launcher, id = scene.lines("told")
    Path(scene.path("gate")).touch()
    wait_until(lambda: not is_alive(int(launcher)), PATIENCE)
    assert app.queue.handle(id).status() == "succeeded"  # finished, not cut


def test_an_idle_worker_leaves_at_once(scene: Scene) -> None:
    worker = scene.worker("-c", "2")
    assert worker.stop() == 0
    assert app.queue.stats().workers == []


def test_hup_restarts_the_children_one_by_one(scene: Scene) -> None:
    worker = scene.worker("-c", "2")
    before = set(app.gate.map([None] * 100).results(PATIENCE))
    worker.signal(signal.SIGHUP)
    wait_until(lambda: worker.output.count("replacing child") == 2)

    def after() -> set[int]:
        return {app.pid().result(PATIENCE) for _ in range(10)}

    wait_until(lambda: not after() & before)
    assert worker.stop() == 0


def test_usr1_shows_the_stacks_of_every_process(scene: Scene) -> None:
    worker = scene.worker()
    handle = app.gate(scene.path("open"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    worker.signal(signal.SIGUSR1)
    wait_until(lambda: "in gate" in worker.output and "launcher.py" in worker.output)
    (child,) = worker.children
    stack = [line for line in worker.output.splitlines() if "in gate" in line]
    assert all(line.startswith(f"[{child}] ") for line in stack)
    own = [line for line in worker.output.splitlines() if "launcher.py" in line]
    assert f"[{worker.pid}] " in own[0]
    Path(scene.path("open")).touch()
    handle.result(PATIENCE)


@on_linux
def test_25_as_process_1_it_reaps_strangers(scene: Scene) -> None:
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("no right to make a pid namespace")
    app.orphan(scene.path("orphan"), scene.path("gate"))
    log = scene.path("log")
    command = [
        *unshare,
        sys.executable,
        "-m",
        "taskq",
        "worker",
        f"{app.__name__}:queue",
        "--broker",
        scene.url,
    ]
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(lambda: scene.lines("orphan"))
        init = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        children = Path(f"/proc/{init}/task/{init}/children")
        wait_until(lambda: len(children.read_text().split()) == 2)  # the stranger is there
        Path(scene.path("gate")).touch()
        wait_until(lambda: len(children.read_text().split()) == 1)
        assert app.add(1, 2).result(PATIENCE) == 3
        send(init, signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, Path(log).read_text()
    finally:
        process.kill()
        process.wait()


# --- ends -------------------------------------------------------------------------------------


def test_burst_leaves_when_nothing_is_left(scene: Scene) -> None:
    handles = app.add.starmap((n, n) for n in range(300))
    retried = app.third_time(scene.path("runs"))
    worker = scene.worker("--burst", "-c", "2", ready=False)
    assert worker.exit_code() == 0
    assert all(handle.status() == "succeeded" for handle in handles)
    assert retried.status() == "succeeded"


def test_burst_says_what_it_leaves_behind(scene: Scene) -> None:
    payload = app.queue.codec.encode_call("w", "x1", "elsewhere.task", (), {})
    call = Call("x1", payload)
    app.queue.broker.call(
        Enqueue(queue="w", task="elsewhere.task", options=Options(), calls=[call])
    )
    worker = scene.worker("--burst", ready=False)
    assert worker.exit_code() == 1
    assert not missing(worker.output, "1 message(s)", "'elsewhere.task'")
    assert "--include elsewhere" in worker.output


def test_burst_on_a_paused_queue_ends(scene: Scene) -> None:
    handle = app.add(1, 2)
    app.queue.pause()
    worker = scene.worker("--burst", ready=False)
    assert worker.exit_code() == 1
    assert "which is paused" in worker.output
    app.queue.resume()
    assert scene.worker("--burst", ready=False).exit_code() == 0
    assert handle.result(PATIENCE) == 3


def test_an_app_that_cannot_be_imported_is_shown(scene: Scene) -> None:
    broken = scene.directory / "broken_app.py"
    broken.write_text("import taskq\nraise RuntimeError('so broken')\n")
    worker = scene.worker(
        "-c", "2", app="broken_app:queue", ready=False, PYTHONPATH=str(scene.directory)
    )
    assert worker.ready_line().startswith("error: ")
    assert worker.exit_code() == 2
    assert worker.output.count("RuntimeError: so broken") == 1
    assert "broken_app.py" in worker.output
    assert "multiprocessing" not in worker.output


def test_a_broker_url_that_is_none_is_one_sentence(scene: Scene) -> None:
    worker = scene.worker("--broker", "foo", ready=False)
    assert not missing(worker.ready_line(), "error:", "'foo'")
    assert worker.exit_code() == 2
    assert "Traceback" not in worker.output


def test_an_app_that_is_not_there(scene: Scene) -> None:
    worker = scene.worker(app="no_such_module:queue", ready=False)
    assert worker.exit_code() == 2
    assert "Traceback" not in worker.output
    assert "no_such_module" in worker.output


def test_an_app_that_dies_at_import_is_no_endless_loop(scene: Scene) -> None:
    (scene.directory / "deadly_app.py").write_text("import os\nos._exit(9)\n")
    worker = scene.worker(app="deadly_app:queue", ready=False, PYTHONPATH=str(scene.directory))
    assert worker.exit_code() == 1
    assert "exited with code 9" in worker.output


def test_without_a_broker_it_leaves_with_3(scene: Scene) -> None:
    missing = f"unix:{scene.directory}/none"
    worker = scene.worker("--broker", missing, ready=False, TASKQ_RECONNECT="0.2")
    assert worker.ready_line().startswith("error: ")
    assert worker.exit_code() == 3
    assert "Traceback" not in worker.output


def test_when_the_broker_is_gone_for_good_it_leaves_with_3(scene: Scene) -> None:
    pid = app.queue.broker.call(Ping()).pid
    worker = scene.worker(
        *("--broker", f"unix:{scene.directory}/b/sock"), "-c", "2", TASKQ_RECONNECT="0.3"
    )
    send(pid, signal.SIGKILL)
    assert worker.exit_code() == 3
    assert "Traceback" not in worker.output


def test_check_shows_the_tasks(scene: Scene) -> None:
    worker = scene.worker("--check", ready=False)
    assert worker.exit_code() == 0
    assert "tests.integration.worker_app.add" in worker.output


def test_work_goes_on_after_the_broker_was_killed(scene: Scene) -> None:
    scene.worker("-c", "2")
    running = app.gate(scene.path("open"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    send(app.queue.broker.call(Ping()).pid, signal.SIGKILL)
    Path(scene.path("open")).touch()
    assert running.result(PATIENCE) == int(scene.lines("runs")[0])
    assert len(scene.lines("runs")) == 1
    assert app.add.starmap((n, n) for n in range(100)).results(PATIENCE)[-1] == 198


def test_a_stop_after_the_broker_was_killed_runs_what_is_acknowledged_early(scene: Scene) -> None:
    pid = app.queue.broker.call(Ping()).pid
    worker = scene.worker("--broker", f"unix:{scene.directory}/b/sock", TASKQ_RECONNECT="1")
    app.add.starmap((n, n) for n in range(2000)).results(PATIENCE)  # now claims are large
    app.queue.pause()
    app.gate(scene.path("open"), scene.path("runs"))
    early = app.note_early.map([scene.path("runs")] * 4)
    app.queue.resume()  # one claim takes them all
    wait_until(lambda: scene.lines("runs"))
    assert {handle.status() for handle in early} == {"succeeded"}
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "SIGTERM" in worker.output)
    send(pid, signal.SIGKILL)
    Path(scene.path("open")).touch()
    assert worker.exit_code() != 0  # the gate is not settled
    assert len(scene.lines("runs")) == 1 + 4


def test_a_worker_of_a_broker_in_memory_says_that_it_cannot_reach_it(scene: Scene) -> None:
    worker = scene.worker("--broker", "memory:", ready=False)
    assert not missing(worker.ready_line(), "memory:", "--broker")
    assert worker.exit_code() == 2
