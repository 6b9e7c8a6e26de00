from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

import taskq
from taskq import Task, TaskQueue, backends, errors, names
from taskq.application import worker_command
from tests.kit.inline_worker import run_ready
from tests.kit.messages import naming

module_queue = TaskQueue("in-a-module")
included = TaskQueue("included", broker="memory:", include=["included_here"])


def test_the_exported_names() -> None:
    assert sorted(taskq.__all__) == [
        "Backoff",
        "HandleSet",
        "Priority",
        "ResultHandle",
        "Retry",
        "Task",
        "TaskQueue",
        "__version__",
        "as_completed",
        "current",
        "errors",
        "task",
        "wait",
    ]
    for name in taskq.__all__:
        assert hasattr(taskq, name)


def test_importing_is_light() -> None:
    heavy = [
        "asyncio",
        "click",
        "cloudpickle",
        "logging",
        "multiprocessing",
        "socket",
        "sqlite3",
        "subprocess",
    ]
    program = f"import sys, taskq; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: TaskQueue(""), ValueError),
        (lambda: TaskQueue("a,b"), ValueError),
        (lambda: TaskQueue(" a"), ValueError),
        (lambda: TaskQueue(3), TypeError),  # type: ignore[arg-type]
        (lambda: TaskQueue("q", broker=3), TypeError),  # type: ignore[arg-type]
        (lambda: TaskQueue("q", include="shop"), TypeError),
        (lambda: TaskQueue("q", include=[3]), TypeError),  # type: ignore[list-item]
        (lambda: TaskQueue("q", include=["shop/tasks.py"]), ValueError),
        (lambda: TaskQueue("q", retries=-1), ValueError),
        (lambda: TaskQueue("q", retires=1), TypeError),  # type: ignore[call-arg]
        (lambda: TaskQueue("q", id="x"), TypeError),  # type: ignore[call-arg]
        (lambda: TaskQueue("q").task(retires=1), TypeError),  # type: ignore[call-overload]
        (lambda: TaskQueue("q").task(id="x"), TypeError),  # type: ignore[call-overload]
        (lambda: TaskQueue("q").task("name"), TypeError),  # type: ignore[call-overload]
        (lambda: TaskQueue("q").task(int), TypeError),
        (lambda: TaskQueue("q").handle(""), ValueError),
        (lambda: TaskQueue("q").workers(0), ValueError),
        (lambda: TaskQueue("q", broker="ftp://x").broker, ValueError),
    ],
)
def test_bad_input(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_defaults_and_options() -> None:
    q = TaskQueue("q", retries=3, result_ttl="5m")

    @q.task(retries=1, queue="mails")
    def send() -> None: ...

    assert (send.defaults.retries, send.defaults.result_ttl) == (1, 300.0)
    assert send.queue == "mails"
    assert list(q.tasks.values()) == [send]


def test_two_functions_of_one_name() -> None:
    q = TaskQueue("q")
    q.task(name="x")(len)
    with pytest.raises(ValueError, match=naming("task name 'x'", "@queue.task(name=")):
        q.task(name="x")(repr)


def test_a_factory_may_define_a_task_again() -> None:
    q = TaskQueue("q")

    def factory() -> Task[[], None]:
        @q.task
        def made() -> None: ...

        return made

    assert factory() is not factory()
    assert len(q.tasks) == 1


def test_queues_of_the_same_name_in_memory_are_not_taken_for_each_other() -> None:
    queues = [TaskQueue("same", broker="memory:") for _ in range(10)]
    assert [pickle.loads(pickle.dumps(queue)) for queue in queues] == queues


def test_a_queue_pickles_as_its_name() -> None:
    q = TaskQueue("p", broker="embedded:/nowhere", retries=2)
    data = pickle.dumps(q)
    assert pickle.loads(data) is q
    del q
    again = pickle.loads(data)
    assert (again.name, again.url) == ("p", "embedded:/nowhere")
    assert again.task(name="t")(print).defaults.retries == 2


def test_a_queue_pickles_with_what_it_includes() -> None:
    q = TaskQueue("included", broker="embedded:/nowhere", include=["shop.tasks"])
    data = pickle.dumps(q)
    del q
    assert pickle.loads(data).include == ("shop.tasks",)


def test_workers_in_this_process_import_what_is_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "included_here.py").write_text(f"from {__name__} import included\n"
        "@included.task(name='here')\ndef here(): return 7\n")  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    with included.workers():
        assert included.tasks["here"]().result(timeout=10) == 7


def test_the_command_that_starts_a_worker() -> None:
    url = "embedded:/nowhere/a b"
    module_queue.use_broker(url)
    assert worker_command("in-a-module", url) == f"taskq worker {__name__}:module_queue"
    for queue, at in (("in-a-module", "embedded:/other"), ("x:3", url)):
        command = worker_command(queue, at)
        assert command.startswith("taskq worker MODULE:QUEUE -Q ")
        assert command.endswith(f" --broker {quote(at)}")


def test_where_a_queue_is() -> None:
    assert module_queue.locate() == f"{__name__}:module_queue"
    assert TaskQueue("nowhere").locate() is None


def test_names_of_the_program() -> None:
    def fn() -> None: ...

    fn.__module__, fn.__qualname__ = "__main__", "fn"
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    expected = names.importable_name("__main__")
    if expected is None:  # a process of pytest-xdist has no file
        expected = os.path.basename(file).removesuffix(".py") if file else "__main__"
    assert names.task_name(fn) == f"{expected}.fn"


def test_operating() -> None:
    q = TaskQueue("q", broker="memory:")
    task = q.task(name="t")(lambda: 1)
    task()
    q.pause()
    assert run_ready(q) == 0
    q.resume()
    assert q.stats().queues[0].ready == 1
    assert q.purge() == 1
    assert q.stats().queues[0].ready == 0
    q.close()
    q.stats()


def test_operating_all_queues_of_the_tasks() -> None:
    q = TaskQueue("main", broker="memory:")
    mail = q.task(name="mail", queue="mails")(lambda: 1)
    q.pause()  # before the broker has seen any of the queues
    handle = mail()
    assert run_ready(q) == 0
    assert {stats.queue: stats.paused for stats in q.stats().queues} == {"main": 1, "mails": 1}
    q.resume("main")
    assert run_ready(q) == 0
    q.resume()
    assert run_ready(q) == 1
    assert handle.result() == 1
    mail()
    assert q.purge("main") == 0
    assert q.purge() == 1
    for act in (q.pause, q.resume, q.purge):
        with pytest.raises(errors.TaskqError, match="no queue 'nope'"):
            act("nope")


def test_a_handle_does_not_claim_to_know_its_queue() -> None:
    q = TaskQueue("main", broker="memory:")
    handle = q.task(name="mail", queue="mails")(lambda: 1)()
    assert repr(handle) == f"<ResultHandle {handle.id} of mail>"
    assert repr(q.handle("x")) == "<ResultHandle x>"


def test_threads_share_one_broker() -> None:
    q = TaskQueue("q", broker="memory:")
    found: list[object] = []
    start = threading.Barrier(8)

    def look() -> None:
        start.wait()
        found.append(q.broker)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_79_a_queue_never_shows_its_key() -> None:
    q = TaskQueue("q", broker="memory:")
    shown = repr(q) + repr(q.broker) + repr(q.codec)
    assert q.broker.payload_key.hex() not in shown
    assert repr(q.broker.payload_key) not in shown


def test_limits_are_checked_and_set() -> None:
    queue = TaskQueue("limited", broker="memory:")
    queue.limit(max_messages=5, max_bytes="1KiB")
    queue.limit(max_bytes=0)
    (stats,) = queue.stats().queues
    assert (stats.max_messages, stats.max_bytes) == (5, 0)
    for wrong, error in (({"max_messages": -1}, ValueError), ({"max_bytes": "much"}, ValueError)):
        with pytest.raises(error, match="must be"):
            queue.limit(**wrong)
    with pytest.raises(TypeError, match=naming("max_messages", "1.5")):
        queue.limit(max_messages=1.5)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_28_a_fork_while_a_thread_holds_the_lock_of_a_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = TaskQueue("forked", broker="memory:")
    parent = os.getpid()
    held, over = threading.Event(), threading.Event()

    def connect(url: str | None, name: str) -> object:
        if os.getpid() == parent:
            held.set()  # this thread has the lock while it connects
            over.wait()
        return object()

    monkeypatch.setattr(backends, "connect", connect)
    thread = threading.Thread(target=lambda: queue.broker)
    thread.start()
    held.wait()
    pid = os.fork()
    if pid == 0:
        asking = threading.Thread(target=lambda: queue.broker, daemon=True)
        asking.start()
        asking.join(5)
        os._exit(asking.is_alive())
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
