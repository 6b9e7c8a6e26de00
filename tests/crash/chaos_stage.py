"""The processes of a chaos run, and the harm that can be done to them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from taskq import TaskQueue
from taskq.codec.ref import CallRef
from taskq.errors import TaskqError
from taskq.protocol.operating import Ping
from taskq.protocol.producing import Wait
from tests.crash.chaos_app import BULK, GROUP, LEASE, THREADS
from tests.crash.history import VARIABLE, Ending, History, read
from tests.kit.broker import BrokerProcess
from tests.kit.files import ROOT
from tests.kit.processes import children_of, is_alive, send
from tests.kit.proxy import Proxy
from tests.kit.waiting import wait_until

WORKERS, CHILDREN, PRODUCERS = 2, 2, 3
SHARE = 0.7  # of the time in which the producers are to be done


class Stage:
    """Broker, workers and producers of one run.

    Args:
        directory: for the broker and the history; short.
        tasks: how many the producers are to call.
        seconds: how long the chaos lasts.
        link: `proxy` or `embedded`.
    """

    def __init__(self, directory: Path, tasks: int, seconds: float, link: str) -> None:
        self._directory = directory / "b"
        self._notes = directory / "notes"
        self._notes.mkdir(parents=True)
        self._tasks = tasks
        self._rate = tasks / PRODUCERS / (seconds * SHARE)
        self._log = open(directory / "log", "ab")  # noqa: SIM115 - closed in __exit__
        self._stack = ExitStack()
        self._broker: BrokerProcess | None = None
        self._proxy: Proxy | None = None
        self._environment = {**os.environ, VARIABLE: str(self._notes), "TASKQ_DURABILITY": "os"}
        url = direct = f"embedded:{directory / 'b'}"
        if link == "proxy":
            self._broker = self._stack.enter_context(BrokerProcess(directory / "b", listen="tcp"))
            self._proxy = self._stack.enter_context(Proxy(self._broker.address))
            url, direct = self._proxy.url, self._broker.url
            self._environment["TASKQ_AUTHKEY_FILE"] = str(self._broker.key_file)
            self._stack.enter_context(_variable("TASKQ_AUTHKEY_FILE", str(self._broker.key_file)))
        self._environment["TASKQ_BROKER"] = url
        self.queue = TaskQueue("chaos", broker=direct)
        self._killed: dict[int, float] = {}
        self._stopped: dict[int, list[tuple[float, float]]] = {}
        self._asleep: dict[int, float] = {}  # process: since when
        self._lost_calls = 0
        self._workers: list[subprocess.Popen[bytes]] = []
        self._auditors: list[subprocess.Popen[bytes]] = []
        self._producers: list[subprocess.Popen[bytes]] = []
        self.queue.broker.call(Ping())
        self._staff()
        wait_until(self._is_staffed, 60)  # a group gets what is enqueued after it has come
        self.tend()

    # --- keeping it going -----------------------------------------------------------------------

    def tend(self) -> int:
        """Replace what is gone; returns how many tasks are acknowledged."""
        if self._broker is not None and not self._broker.is_running:
            self._broker.start()
        self._staff()
        self._producers = [each for each in self._producers if each.poll() is None]
        acknowledged = self._acknowledged()
        missing = self._tasks - acknowledged
        if missing > 0 and not self._producers:
            for number in range(PRODUCERS):
                count = missing // PRODUCERS + (missing % PRODUCERS if number == 0 else 0)
                self._produce(acknowledged + number * self._tasks, count)
        return acknowledged if not self._producers else 0

    @property
    def url(self) -> str:
        """Where workers and producers find the broker."""
        return self._environment["TASKQ_BROKER"]

    def calm(self) -> None:
        """No more harm; everybody is awake."""
        for pid in list(self._asleep):
            self._wake(pid)
        self.tend()

    def is_drained(self) -> bool:
        """Whether nothing is left to do."""
        self.tend()
        return all(
            group.held == group.parked == group.scheduled == group.ready == group.leased == 0
            for group in self.queue.stats().queues
        )

    def history(self) -> History:
        """All that was noted, and what the broker says of it."""
        history = read(self._notes)
        history.killed, history.stopped = self._killed, self._stopped
        history.lost_calls = self._lost_calls
        history.accepted = self.queue.stats().broker.acknowledged
        history.endings = self._endings(list(history.acknowledged))
        return history

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pid = 0
        with suppress(TaskqError):
            pid = self.queue.broker.call(Ping()).pid
        everybody = [*self._producers, *self._workers, *self._auditors]
        for process in everybody:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in everybody:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        self.queue.close()
        if self._broker is None and pid:
            _signal(pid, signal.SIGTERM)
            wait_until(lambda: not is_alive(pid))
        self._stack.close()
        self._log.close()

    # --- harm: each says whether it found something to harm ----------------------------------------

    def kill_child(self, draw: random.Random) -> bool:
        """SIGKILL for one child of a worker."""
        return self._kill(self._any_child(draw))

    def kill_worker(self, draw: random.Random) -> bool:
        """SIGKILL for a launcher; its children die with it."""
        return self._kill(draw.choice([*self._workers, *self._auditors]).pid)

    def term_worker(self, draw: random.Random) -> bool:
        """SIGTERM for a launcher, which ends in good order; another one takes its place."""
        draw.choice([*self._workers, *self._auditors]).terminate()
        return True

    def hup_worker(self, draw: random.Random) -> bool:
        """SIGHUP for a launcher, which replaces its children one by one."""
        draw.choice([*self._workers, *self._auditors]).send_signal(signal.SIGHUP)
        return True

    def term_broker(self, draw: random.Random) -> bool:
        """SIGHUP, which a broker ignores, then SIGTERM."""
        pid = self._broker_pid()
        _signal(pid, signal.SIGHUP)
        _signal(pid, signal.SIGTERM)
        if self._broker is not None:
            self._broker.wait()
            self._broker.start()
        else:
            wait_until(lambda: not is_alive(pid), 60)
        return True

    def kill_starting_broker(self, draw: random.Random) -> bool:
        """SIGKILL for the broker, and for its successor while it starts."""
        moment = draw.uniform(0.0, 0.25)
        if self._broker is not None:
            self._broker.kill()
            self._broker.launch()
            time.sleep(moment)
            self._broker.close()
            self._broker.start()
            return True
        _signal(self._broker_pid(), signal.SIGKILL)
        time.sleep(moment)
        starting = brokers_of(self._directory)
        for pid in starting:
            _signal(pid, signal.SIGKILL)
        return bool(starting)

    def kill_producer(self, draw: random.Random) -> bool:
        """SIGKILL, SIGTERM or SIGHUP for a producer; what it had sent may be there or not."""
        if not self._producers:
            return False
        producer = draw.choice(self._producers)
        producer.send_signal(draw.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)))
        producer.wait()
        self._lost_calls += BULK * THREADS
        return True

    def kill_broker(self, draw: random.Random) -> bool:
        """SIGKILL for the broker; it is started again at once, or by the next client."""
        if self._broker is not None:
            self._broker.kill()
            self._broker.start()
        else:
            _signal(self._broker_pid(), signal.SIGKILL)
        return True

    def stop_child(self, draw: random.Random) -> bool:
        """SIGSTOP for a child, for longer than its lease would be without its launcher."""
        return self._stop(self._any_child(draw), LEASE * 1.5)

    def stop_worker(self, draw: random.Random) -> bool:
        """SIGSTOP for a launcher and its children, past their leases."""
        launcher = draw.choice(self._workers).pid
        stopped = [self._stop(pid, LEASE * 1.5) for pid in (launcher, *children_of(launcher))]
        return any(stopped)

    def stop_broker(self, draw: random.Random) -> bool:
        """SIGSTOP for the broker, for a moment."""
        pid = self._broker_pid()
        _signal(pid, signal.SIGSTOP)
        time.sleep(draw.uniform(0.1, 1.5))
        _signal(pid, signal.SIGCONT)
        return True

    def drop_connections(self, draw: random.Random) -> bool:
        """Reset every connection."""
        if self._proxy is None:
            return False
        self._proxy.drop()
        return True

    def cut_next_connection(self, draw: random.Random) -> bool:
        """Reset every connection, and the first new one somewhere in its replies or requests."""
        if self._proxy is None:
            return False
        direction = draw.choice(["requests", "replies"])
        self._proxy.limit(**{direction: draw.randrange(3000)})
        self._proxy.drop()
        return True

    def silence(self, draw: random.Random) -> bool:
        """The network passes nothing on, for a moment."""
        if self._proxy is None:
            return False
        self._proxy.deafen()
        threading.Event().wait(draw.uniform(0.1, 0.6))
        self._proxy.deafen(False)
        return True

    # --- parts ------------------------------------------------------------------------------------

    def _staff(self) -> None:
        """Start the workers that are missing, of both groups."""
        self._workers = [each for each in self._workers if each.poll() is None]
        while len(self._workers) < WORKERS:
            self._workers.append(self._start_worker(CHILDREN))
        self._auditors = [each for each in self._auditors if each.poll() is None]
        if not self._auditors:
            self._auditors.append(self._start_worker(1, "-g", "audit", **{GROUP: "audit"}))

    def _start_worker(
        self, children: int, *arguments: str, **environment: str
    ) -> subprocess.Popen[bytes]:
        command = ["-m", "taskq", "worker", "tests.crash.chaos_app:queue", "-c", str(children)]
        command += ["--broker", self.url, "-l", "warning", *arguments]
        return self._start(command, **environment)

    def _is_staffed(self) -> bool:
        return {"default", "audit"} <= {group.group for group in self.queue.stats().queues}

    def _broker_pid(self) -> int:
        return self.queue.broker.call(Ping()).pid

    def _any_child(self, draw: random.Random) -> int:
        children = children_of(draw.choice(self._workers).pid)
        return draw.choice(children) if children else 0

    def _kill(self, pid: int) -> bool:
        if pid:
            _signal(pid, signal.SIGKILL)
            self._killed[pid] = time.monotonic()
        return bool(pid)

    def _stop(self, pid: int, seconds: float) -> bool:
        if not pid or pid in self._asleep:
            return False
        self._asleep[pid] = time.monotonic()
        _signal(pid, signal.SIGSTOP)
        # in a thread: the run itself may wait for what the stopped process has, such as a lock
        timer = threading.Timer(seconds, self._wake, [pid])
        timer.daemon = True
        timer.start()
        return True

    def _wake(self, pid: int) -> None:
        """End a stop, once."""
        if (since := self._asleep.pop(pid, None)) is not None:
            _signal(pid, signal.SIGCONT)
            self._stopped.setdefault(pid, []).append((since, time.monotonic()))

    def _produce(self, first: int, count: int) -> None:
        arguments = [str(first), str(count), f"{self._rate:.3f}"]
        self._producers.append(self._start(["-m", "tests.crash.chaos_app", *arguments]))

    def _start(self, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self._environment | environment,
            stderr=self._log,
        )

    def _acknowledged(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self._notes.glob("acked-*"))

    def _endings(self, ids: list[str]) -> dict[str, Ending]:
        endings: dict[str, Ending] = {}
        for start in range(0, len(ids), 1000):
            left = set(ids[start : start + 1000])
            while left:
                reply = self.queue.broker.call(Wait(watch=1, add=list(left), wait=0))
                for each in reply.finished:
                    left.discard(each.id)
                    ending = Ending(each.state)
                    if each.state == "succeeded":
                        call = CallRef(each.queue, each.id, each.task)
                        value = self.queue.codec.decode_result(call, each.value)
                        ending = Ending(each.state, *value)
                    endings[each.id] = ending
                if not reply.finished:
                    break
        return endings


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable of this process, for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def brokers_of(directory: Path) -> list[int]:
    """The broker processes of a directory, also those that only start."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"taskq.broker" in words and os.fsencode(f'"{directory}"') in words[-2]:
                found.append(int(entry.name))
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        send(pid, number)
