"""Peers without the key, with another user, or in the broker's place: at a real broker's socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.managers import BaseManager
from pathlib import Path

import pytest

from taskq.broker.server import connect
from taskq.broker.settings import BrokerSettings
from taskq.errors import AuthenticationFailed, ProtocolError, TaskqError
from taskq.protocol.frames import FrameReader, encode, frame
from taskq.protocol.operating import GetStats, Ping, Pong
from taskq.transport import handshake
from tests.kit.attack import BrokerUnderAttack, broker_under_attack, is_closed, read_to_end
from tests.kit.files import ROOT, short_directory
from tests.kit.messages import missing, naming
from tests.kit.processes import free_port
from tests.kit.waiting import wait_until

NOBODY = 65534
KEY = b"k" * 64
PING = bytes(encode(Ping()))  # type: ignore[arg-type]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


# --- the unauthenticated ------------------------------------------------------------------------


def speak(broker: BrokerUnderAttack, *bodies: bytes) -> bytes:
    """All that an unauthenticated client which says that hears after the broker's greeting."""
    sock = broker.raw_connect()
    sock.sendall(b"".join(map(frame, bodies)))
    said = read_to_end(sock)
    sock.close()
    greetings = FrameReader().feed(said)
    assert [len(body) for body in greetings] in ([], [39]), "more than a greeting"
    return b"" if not greetings else said[4 + len(greetings[0]) :]


@pytest.mark.parametrize("listen", ["unix", "tcp"])
def test_65_without_the_key_nothing_is_revealed_and_nothing_is_done(listen: str) -> None:
    with broker_under_attack(listen) as broker:
        hello = handshake.ClientHandshake(b"w" * 32).hello()
        for proof in (b"", b"\0" * 32, b"\0" * 31, hello, b"w" * 1000):
            assert speak(broker, hello, proof) == b""
        assert speak(broker, PING[4:]) == b""
        assert speak(broker, hello, PING[4:]) == b""
        with pytest.raises(AuthenticationFailed, match="refused our key"):
            connect(broker.address, b"w" * 32)
        assert broker.serves()
        assert str(ROOT) not in broker.output
        assert "Traceback" not in broker.output


def drip(sock: socket.socket) -> int:
    """A whole greeting, one byte each 0.9 s; how many bytes the broker has waited for."""
    sent = 0
    with contextlib.suppress(OSError):
        for byte in frame(handshake.ClientHandshake(b"w" * 32).hello()):
            if is_closed(sock):
                break
            sock.sendall(bytes([byte]))
            sent += 1
            time.sleep(0.9)
    sock.close()
    return sent


def ask_like_the_stock_manager(broker: BrokerUnderAttack, errors: list[BaseException]) -> None:
    try:
        BaseManager(broker.address, broker.key).connect()
    except (EOFError, OSError) as error:
        errors.append(error)


def test_69_70_73_the_silent_and_the_slow_are_dropped_and_keep_nobody_out() -> None:
    # one test, since each of them takes as long as a handshake may
    with broker_under_attack() as broker:
        refused: list[BaseException] = []
        stock = threading.Thread(target=ask_like_the_stock_manager, args=(broker, refused))
        stock.start()
        sent: list[int] = []
        dripping = threading.Thread(target=lambda: sent.append(drip(broker.raw_connect())))
        dripping.start()
        silent: list[socket.socket] = []
        for number in range(1000):
            silent.append(broker.raw_connect())
            if number % 100 == 0:
                assert broker.serves()
                assert broker.descriptors() < 110, "64 handshakes and some newcomers"
        wait_until(lambda: sum(map(is_closed, silent[:900])) == 900)
        late = [broker.raw_connect() for _ in range(20)]
        slow = broker.raw_connect()
        dripping_late = threading.Thread(target=lambda: sent.append(drip(slow)))
        dripping_late.start()
        wait_until(lambda: all(map(is_closed, silent + late)))
        assert broker.serves()
        for thread in (stock, dripping, dripping_late):
            thread.join(30)
            assert not thread.is_alive()
        assert len(refused) == 1
        assert max(sent) < 20, "of 43 bytes, with 5 s for all of them"
        for sock in [*silent, *late]:
            sock.close()


def flood(broker: BrokerUnderAttack, until: threading.Event) -> None:
    """Greet without end, and prove nothing."""
    hello = frame(handshake.ClientHandshake(broker.key).hello())
    held: deque[socket.socket] = deque()
    while not until.is_set():
        with contextlib.suppress(OSError):
            held.append(broker.raw_connect())
            held[-1].sendall(hello)
        if len(held) > 200:
            held.popleft().close()
    for sock in held:
        sock.close()


def test_69_the_right_key_in_a_flood_is_never_called_a_wrong_one() -> None:
    with broker_under_attack() as broker:
        over = threading.Event()
        floods = [threading.Thread(target=flood, args=(broker, over)) for _ in range(4)]
        for thread in floods:
            thread.start()
        try:
            for _ in range(300):
                with contextlib.suppress(OSError):  # crowded out: a client tries again
                    connect(broker.address, broker.key).close()
        finally:
            over.set()
            for thread in floods:
                thread.join()
        wait_until(broker.serves)  # those of the flood may still be in line


def test_63_a_client_of_another_protocol_is_refused_with_both_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with broker_under_attack() as broker:
        with monkeypatch.context() as patch:
            patch.setattr(handshake, "VERSION", handshake.VERSION + 1)
            with pytest.raises(ProtocolError, match=naming("protocol 2", "3", "restart")):
                connect(broker.address, broker.key)
            hello = handshake.ClientHandshake(broker.key).hello()
        assert speak(broker, hello, b"\0" * 32) == b""  # one that goes on all the same
        wait_until(lambda: not missing(broker.output, "protocol 3", "broker 2"))
        assert broker.serves()


# --- in the broker's place ----------------------------------------------------------------------


class Squatter:
    """Listens where a broker should, for as many clients as it is told.

    Args:
        path: of the socket.
        meet: what it does with them.
    """

    def __init__(self, path: Path, clients: int, meet: Callable[..., None]) -> None:
        self.heard = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._clients = clients
        self._meet = meet
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        socks = [self._listener.accept()[0] for _ in range(self._clients)]
        for sock in socks:
            sock.settimeout(20)
        with contextlib.suppress(OSError):  # somebody has hung up
            self._meet(self, *socks)
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        for sock in socks:
            self.heard += read_to_end(sock)
            sock.close()

    def pass_on(self, source: socket.socket, target: socket.socket) -> None:
        """What one side says, to the other one."""
        data = source.recv(2**16)
        if not data:
            raise ConnectionResetError
        self.heard += data
        target.sendall(data)

    def close(self) -> None:
        """Wait until everybody has gone."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._listener.close()


def echo(squatter: Squatter, sock: socket.socket) -> None:
    for _ in range(3):
        squatter.pass_on(sock, sock)


def introduce(squatter: Squatter, one: socket.socket, other: socket.socket) -> None:
    for _ in range(3):
        squatter.pass_on(one, other)
        squatter.pass_on(other, one)


def call_there(path: Path, key: bytes, errors: list[BaseException]) -> None:
    try:
        with connect(str(path), key) as sock:
            sock.sendall(PING)
    except (TaskqError, OSError) as error:
        errors.append(error)


def fool(
    path: Path, key: bytes, clients: int, meet: Callable[..., None]
) -> tuple[list[BaseException], bytes]:
    """Have clients call a squatter: what they raised, and what it heard."""
    squatter = Squatter(path, clients, meet)
    errors: list[BaseException] = []
    callers = [
        threading.Thread(target=call_there, args=(path, key, errors)) for _ in range(clients)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    squatter.close()
    return errors, squatter.heard


@pytest.mark.parametrize(("clients", "meet"), [(1, echo), (2, introduce)])
def test_71_a_squatter_that_reflects_learns_nothing_and_runs_nothing(
    short_dir: Path, clients: int, meet: Callable[..., None]
) -> None:
    errors, heard = fool(short_dir / "sock", KEY, clients, meet)
    assert len(errors) == clients
    # of two, the one that proves itself later may only see that the other has hung up
    assert any(isinstance(error, AuthenticationFailed) for error in errors)
    said = FrameReader().feed(heard)
    assert len(said) <= 2 * clients, "only greetings and proofs were heard"
    assert {len(body) for body in said} <= {39, 32}
    assert KEY not in heard


def test_71_a_squatter_cannot_pass_a_client_on_to_the_broker_of_another_path(
    short_dir: Path,
) -> None:
    with broker_under_attack() as broker:

        def relay(squatter: Squatter, client: socket.socket) -> None:
            with broker.raw_connect() as real:
                for _ in range(2):
                    squatter.pass_on(client, real)
                    squatter.pass_on(real, client)

        errors, heard = fool(short_dir / "sock", broker.key, 1, relay)
        assert isinstance(errors[0], AuthenticationFailed), errors
        assert PING not in heard
        assert broker.serves()


# --- other users --------------------------------------------------------------------------------

KNOCK = """
import os, sys
from taskq.broker.server import connect
os.setgid({nobody}); os.setuid({nobody})
try:
    connect({address!r}, {key!r})
except BaseException as error:
    print(type(error).__name__, error)
else:
    print("came in")
"""


def connect_as_nobody(broker: BrokerUnderAttack) -> str:
    """What another user's client with the right key comes to."""
    program = KNOCK.format(nobody=NOBODY, address=broker.address, key=broker.key)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


@as_root
def test_78_another_user_is_refused_by_the_directory_and_then_by_the_kernel_s_word() -> None:
    with broker_under_attack() as broker:
        assert connect_as_nobody(broker).startswith("PermissionError")
        broker.directory.chmod(0o755)
        (broker.directory / "sock").chmod(0o666)
        # it has the key and reaches the socket, and may not even say its greeting
        assert "came in" not in connect_as_nobody(broker)
        wait_until(lambda: not missing(broker.output, "user 65534", "user 0"))
        assert broker.serves()


@as_root
def test_78_a_broker_of_another_user_is_refused_by_the_client(short_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_dir / "sock"))
        os.seteuid(NOBODY)
        try:
            listener.listen()  # this is when the kernel notes whose it is
        finally:
            os.seteuid(0)
        with pytest.raises(AuthenticationFailed, match=naming("user 65534", "user 0")):
            connect(str(short_dir / "sock"), KEY)


@on_linux
def test_78_there_is_one_socket_file_for_the_owner_and_no_abstract_socket() -> None:
    with broker_under_attack() as broker:
        assert os.stat(broker.directory / "sock").st_mode & 0o777 == 0o600
        assert os.stat(broker.directory).st_mode & 0o777 == 0o700
        links = [os.readlink(entry) for entry in Path(f"/proc/{broker.pid}/fd").iterdir()]
        inodes = {link[8:-1] for link in links if link.startswith("socket:")}
        lines = Path("/proc/net/unix").read_text().splitlines()[1:]
        names = {line.split()[7] for line in lines if line.split()[6] in inodes and "@" in line}
        named = {line.split()[7] for line in lines if line.split()[6] in inodes and "/" in line}
        assert names == set()
        assert named == {str(broker.directory / "sock")}


# --- beyond this machine ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "host"),
    [("taskq.broker", "0.0.0.0"), ("taskq.broker", "example.invalid"), ("taskq", "[::]")],
)
def test_79_tcp_beyond_this_machine_has_to_be_asked_for_by_name(
    short_dir: Path, command: str, host: str
) -> None:
    listen = f"tcp://{host}:7411"
    words = ["broker", "--dir", str(short_dir), "--listen", listen]
    if command == "taskq.broker":
        words = [json.dumps({"directory": str(short_dir), "listen": listen})]
    done = subprocess.run(
        [sys.executable, "-m", command, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "--insecure" in done.stderr
    assert "Traceback" not in done.stderr


def test_tcp_beyond_this_machine_that_was_asked_for() -> None:
    with short_directory() as path:
        reader, writer = os.pipe()
        listen = f"tcp://0.0.0.0:{(port := free_port())}"
        settings = BrokerSettings(path, listen=listen, insecure=True, ready_fd=writer)
        process = subprocess.Popen(
            [sys.executable, "-m", "taskq.broker", settings.to_json()],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
            pass_fds=(writer,),
        )
        os.close(writer)
        with open(reader) as pipe:
            assert pipe.readline() == "ready\n"
        key = (path / "key").read_bytes().strip()
        connect(("127.0.0.1", port), key).close()
        process.terminate()
        assert process.wait(20) == 0


def test_what_a_known_client_may_do() -> None:
    # the other side of all of the above: with the key, the same socket answers
    with broker_under_attack() as broker:
        insider = broker.authenticate()
        insider.ask(Ping(rid=7))
        pong = insider.receive()
        assert isinstance(pong, Pong)
        assert (pong.rid, pong.pid) == (7, broker.pid)
        insider.ask(GetStats(rid=8))
        assert insider.receive().rid == 8
        insider.close()
