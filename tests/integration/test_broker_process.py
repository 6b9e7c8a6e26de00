"""The broker as a process: started by hand and by itself, killed, raced for, and misused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from taskq.backends import connect
from taskq.backends.embedded import EmbeddedBroker
from taskq.backends.stop import stop_broker
from taskq.broker.manager import BrokerManager
from taskq.broker.settings import BrokerSettings
from taskq.errors import (
    AuthenticationFailed,
    BrokerRunning,
    BrokerTimeout,
    BrokerUnavailable,
    TaskqError,
)
from taskq.protocol.consuming import Claim, Register
from taskq.protocol.operating import GetStats, Ping, Pong
from taskq.protocol.producing import Enqueue, Wait
from taskq.protocol.values import Call, Options
from taskq.transport.keys import ensure_key
from tests.kit.broker import BrokerProcess
from tests.kit.messages import missing, naming
from tests.kit.processes import end, is_alive, send
from tests.kit.waiting import wait_until


def enqueue(number: int) -> Enqueue:
    return Enqueue(queue="q", task="t", options=Options(), calls=[Call(f"m{number}", b"p")])


class Site:
    """A broker directory with a short path, and everything that runs in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes: list[BrokerProcess] = []
        self.brokers: list[EmbeddedBroker] = []

    def start(self) -> BrokerProcess:
        """A broker in the foreground, ready."""
        process = self.launch()
        process.wait_until_ready()
        return process

    def launch(self, *, listen: str = "unix", under: tuple[str, ...] = ()) -> BrokerProcess:
        """Whatever becomes of a broker that listens there."""
        log = self.path / f"log{len(self.processes)}"
        process = BrokerProcess(self.path, listen=listen, durability="fsync", log=log)
        self.processes.append(process)
        process.launch(*under)
        return process

    def broker(self, autostart: bool = True, idle_exit: float = 60.0) -> EmbeddedBroker:
        """A way to the broker; `autostart`: which starts one if there is none."""
        broker = EmbeddedBroker(self.path, autostart, durability="os", idle_exit=idle_exit)
        self.brokers.append(broker)
        return broker

    def lock_pid(self) -> int:
        """The process that the lock names; 0 if it names none."""
        words = (self.path / "lock").read_text().split()
        return int(words[0]) if words else 0

    def close(self) -> None:
        """End everything."""
        for broker in self.brokers:
            broker.close()
        for process in self.processes:
            process.close()
        if (self.path / "lock").exists() and (pid := self.lock_pid()) and is_alive(pid):
            end(pid, signal.SIGKILL)


@pytest.fixture
def site(short_dir: Path) -> Iterator[Site]:
    site = Site(short_dir)
    yield site
    site.close()


def ready(broker: EmbeddedBroker) -> int:
    return sum(queue.ready for queue in broker.call(GetStats()).queues)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_in_the_foreground_and_stops_cleanly(site: Site, number: int) -> None:
    process = site.start()
    pong = site.broker(autostart=False).call(Ping())
    assert pong.pid == process.pid
    assert pong.directory == str(site.path)
    assert pong.durability.kind == "fsync"
    process.signal(number)
    assert process.wait() == 0, process.output
    assert not (site.path / "sock").exists()


def test_01_09_12_a_killed_broker_keeps_what_it_acknowledged(site: Site) -> None:
    broker = site.broker()
    first = broker.call(Ping()).pid
    for number in range(10):
        assert broker.call(enqueue(number)).existing == []
    send(first, signal.SIGKILL)
    assert ready(broker) == 10
    assert broker.call(Ping()).pid != first
    assert broker.call(enqueue(3)).existing == ["m3"]


@pytest.mark.parametrize("delay", [30 * 86400.0, 1e300])
def test_44_an_eta_beyond_what_the_kernel_can_wait_for_stops_no_broker(
    site: Site, delay: float
) -> None:
    # one sleep of the kernel has at most 2**31 ms, which is 24 days
    pid = site.start().pid
    broker = site.broker(autostart=False)
    calls = [Call("far", b"p")]
    broker.call(Enqueue(queue="q", task="t", options=Options(), calls=calls, delay=delay))
    assert broker.call(Ping()).pid == pid
    assert sum(queue.scheduled for queue in broker.call(GetStats()).queues) == 1


def test_a_directory_whose_name_is_not_utf_8_serves_a_broker(site: Site) -> None:
    directory = site.path / os.fsdecode(b"b\xff")
    broker = EmbeddedBroker(directory, durability="os")
    try:
        assert broker.call(Ping()).directory.endswith("b\\udcff")
    finally:
        broker.close()
        stop_broker(directory)


def test_08_a_second_broker_leaves_naming_the_first(site: Site) -> None:
    process = site.start()
    second = site.launch()
    assert second.wait() == 4
    assert f"another broker (pid {process.pid}) already serves {site.path}" in second.output
    assert "Traceback" not in second.output
    assert site.broker(autostart=False).call(Ping()).pid == process.pid


def test_a_usage_error_is_one_sentence_and_exit_code_2(site: Site) -> None:
    for listen, *tokens in [
        ("tcp://0.0.0.0:0", "not encrypted", "--insecure"),
        ("http://x", "'http://x'", "tcp://HOST:PORT"),
    ]:
        process = site.launch(listen=listen)
        assert process.wait() == 2
        assert not missing(process.output, *tokens)
        assert "Traceback" not in process.output


def test_65_a_wrong_key_is_refused_without_a_reason(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.start()
    other = site.path / "other"
    other.write_text("w" * 64)
    other.chmod(0o600)
    monkeypatch.setenv("TASKQ_AUTHKEY_FILE", str(other))
    with pytest.raises(AuthenticationFailed, match="refused our key"):
        connect(f"unix:{site.path}/sock", "q").call(Ping())
    monkeypatch.delenv("TASKQ_AUTHKEY_FILE")
    broker = connect(f"unix:{site.path}/sock", "q")
    assert isinstance(broker.call(Ping()), Pong)
    broker.close()


def test_77_a_directory_open_to_others_is_refused_by_both_sides(site: Site) -> None:
    site.path.chmod(0o755)
    process = site.launch()
    assert process.wait() == 2
    assert not missing(process.output, "mode 755", f"chmod 700 {site.path}")
    with pytest.raises(AuthenticationFailed, match=naming("mode 755", f"chmod 700 {site.path}")):
        site.broker()


def test_tcp_with_a_key_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    process = site.launch(listen="tcp")
    process.wait_until_ready()
    monkeypatch.setenv("TASKQ_AUTHKEY_FILE", str(site.path / "key"))
    broker = connect(process.url, "q")
    assert broker.call(Ping()).pid == process.pid
    broker.close()


def test_it_starts_by_itself_detached_and_leaves_when_idle(site: Site) -> None:
    broker = site.broker(idle_exit=0.3)
    pid = broker.call(Ping()).pid
    assert os.getsid(pid) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # nobody has to reap it
    broker.call(enqueue(1))
    broker.close()
    wait_until(lambda: not is_alive(pid))
    assert "leaving" in (site.path / "broker.log").read_text()
    assert ready(broker) == 1


def test_79_the_key_is_in_no_argument_and_no_log(site: Site) -> None:
    pid = site.broker().call(Ping()).pid
    key = (site.path / "key").read_text().strip()
    command = subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout
    assert "taskq.broker" in command
    assert key not in command + (site.path / "broker.log").read_text()


def race(path: Path, results: Path) -> None:
    broker = EmbeddedBroker(path, durability="os")
    (results / str(os.getpid())).write_text(str(broker.call(Ping()).pid))


def test_many_who_come_first_start_one_broker(site: Site) -> None:
    results = site.path / "results"
    results.mkdir()
    context = get_context("spawn")
    racers = [context.Process(target=race, args=(site.path, results)) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(30)
        assert racer.exitcode == 0
    pids = {path.read_text() for path in results.iterdir()}
    assert len(list(results.iterdir())) == 4
    assert pids == {str(site.lock_pid())}
    assert (site.path / "broker.log").read_text().count(" serves ") == 1


def test_a_lost_key_is_not_replaced_if_it_has_signed_a_journal(site: Site) -> None:
    site.broker().call(Ping())
    stop_broker(site.path)
    (site.path / "key").unlink()
    with pytest.raises(BrokerUnavailable, match=naming("not start", site.path / "key", "backup")):
        site.broker().call(Ping())
    assert not (site.path / "key").exists()


def test_a_broker_that_cannot_start_says_why(site: Site) -> None:
    ensure_key(site.path / "key")
    (site.path / "journal.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(BrokerUnavailable, match=naming("not start", site.path / "journal.db")):
        site.broker().call(Ping())


def test_29_both_sides_of_a_fork_go_on(site: Site) -> None:
    broker = site.broker()
    broker.call(enqueue(0))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for number in range(1, 101):
                broker.call(enqueue(number))
            code = 0
        finally:
            os._exit(code)
    for number in range(101, 201):
        assert broker.call(enqueue(number)).existing == []
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ready(broker) == 201


def test_30_a_call_in_the_middle_of_a_call_takes_nobody_elses_reply(site: Site) -> None:
    broker = site.broker()
    broker.call(enqueue(0))
    inner: list[int] = []

    def ring(signum: int, frame: object) -> None:
        # it outlasts the other one, whose reply comes in meanwhile
        asked = Wait(watch=2, add=["m0"], wait=0.5)
        inner.append(broker.call(asked, timeout=5.0).pending)

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        waited = broker.call(Wait(watch=1, add=["m0"], wait=0.3), timeout=5.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert waited.pending == 1
    assert inner == [1]


def test_threads_have_connections_of_their_own(site: Site) -> None:
    broker = site.broker()
    broker.call(Ping())
    errors: list[BaseException] = []

    def work(base: int) -> None:
        try:
            for number in range(50):
                broker.call(enqueue(base + number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(base,)) for base in range(0, 500, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert ready(broker) == 500


def test_33_a_peer_that_accepts_and_never_replies(site: Site) -> None:
    assert site.broker(autostart=False).payload_key  # makes the key
    with socket.socket(socket.AF_UNIX) as squatter:
        squatter.bind(str(site.path / "sock"))
        squatter.listen()
        with pytest.raises(BrokerTimeout, match=naming(site.path, "not answer")):
            site.broker().connect(patience=0)


def test_a_stopped_broker_times_out_and_comes_back(site: Site) -> None:
    broker = site.broker()
    pid = broker.call(Ping()).pid
    send(pid, signal.SIGSTOP)
    with pytest.raises(BrokerTimeout):
        broker.call(Ping(), timeout=0.2)
    send(pid, signal.SIGCONT)
    assert broker.call(Ping()).pid == pid


def test_11_36_all_waiters_go_on_with_the_next_broker(site: Site) -> None:
    broker = site.broker()
    pid = broker.call(Ping()).pid
    broker.call(enqueue(1))
    connections = [broker.connect() for _ in range(50)]
    waits = [Wait(watch=1, add=["m1"], wait=60) for _ in connections]
    for connection, wait in zip(connections, waits, strict=True):
        connection.send(wait)
    worker = broker.connect(
        lambda: Register(worker="w", consumer="c", group="default", queues=["other"])
    )
    claim = Claim(queues=["other"], n=1, wait=60)
    worker.send(claim)
    send(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    broker.call(Enqueue(queue="other", task="t", options=Options(), calls=[Call("o", b"")]))
    assert [message.id for message in worker.receive(claim).messages] == ["o"]
    assert not any(
        connection.arrived(wait) for connection, wait in zip(connections, waits, strict=True)
    )
    for connection in [worker, *connections]:
        connection.close()


def test_36_without_a_broker_every_waiter_raises(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKQ_RECONNECT", "0.5")
    process = site.start()
    broker = site.broker(autostart=False)
    broker.call(enqueue(1))
    connections = [broker.connect() for _ in range(5)]
    process.kill()
    for connection in connections:
        with pytest.raises(BrokerUnavailable, match="no broker answers"):
            connection.call(Wait(watch=1, add=["m1"], wait=60))
        connection.close()


def test_11_a_stop_under_load_loses_nothing_acknowledged(site: Site) -> None:
    process = site.start()
    acknowledged: list[int] = []

    def produce() -> None:
        broker = EmbeddedBroker(site.path, autostart=False)
        channel = broker.connect(patience=0)
        try:
            for number in range(1_000_000):
                channel.call(enqueue(number))
                acknowledged.append(number)
        except TaskqError:
            channel.close()

    thread = threading.Thread(target=produce)
    thread.start()
    wait_until(lambda: len(acknowledged) > 200)
    process.signal(signal.SIGTERM)
    thread.join(20)
    assert process.wait() == 0
    assert ready(site.broker()) in (len(acknowledged), len(acknowledged) + 1)


def test_50_without_descriptors_it_stays_responsive(site: Site) -> None:
    process = site.launch(under=("sh", "-c", 'ulimit -n 32; exec "$@"', "sh"))
    process.wait_until_ready()
    broker = site.broker(autostart=False)
    broker.call(Ping())
    strangers = [socket.socket(socket.AF_UNIX) for _ in range(60)]
    for sock in strangers:
        sock.connect(str(site.path / "sock"))
    before = process_seconds(process.pid)
    started = time.monotonic()
    while time.monotonic() - started < 1.0:
        assert broker.call(Ping(), timeout=5).pid == process.pid
        time.sleep(0.05)
    assert process_seconds(process.pid) - before < 0.5, "it burns a core"
    for sock in strangers:
        sock.close()
    newcomer = broker.connect(patience=5)
    assert newcomer.call(Ping()).pid == process.pid
    newcomer.close()


def process_seconds(pid: int) -> float:
    text = subprocess.run(
        ["ps", "-o", "cputimes=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout
    return float(text)


def test_the_manager_starts_connects_and_shuts_down(site: Site) -> None:
    settings = BrokerSettings(site.path, durability="os")
    manager = BrokerManager(settings, ctx=get_context("spawn"))
    manager.start()
    BrokerManager(settings).connect()
    with pytest.raises(BrokerRunning):
        BrokerManager(settings).get_server()
    broker = site.broker(autostart=False)
    pid = broker.call(Ping()).pid
    manager.shutdown()
    assert not is_alive(pid)
    with pytest.raises(OSError):
        BrokerManager(settings).connect()
