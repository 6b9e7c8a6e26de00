"""Addresses: their forms, long socket paths, and sockets left behind."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from taskq.transport import address


def test_tcp_urls() -> None:
    assert address.parse_tcp("tcp://localhost:80") == ("localhost", 80)
    assert address.parse_tcp("tcp://[::1]:0/") == ("::1", 0)
    assert address.url_of(("::1", 5)) == "tcp://[::1]:5"
    assert address.url_of(("h", 5)) == "tcp://h:5"
    assert address.url_of("/a/sock") == "unix:/a/sock"


@pytest.mark.parametrize("url", ["tcp://", "tcp://h", "tcp://h:", "tcp://:1", "tcp://h:x", "h:1"])
def test_what_is_no_tcp_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="tcp://HOST:PORT"):
        address.parse_tcp(url)
    with pytest.raises(ValueError, match="65535"):
        address.parse_tcp("tcp://h:65536")


def test_what_only_this_machine_can_reach() -> None:
    assert all(map(address.is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1"]))
    assert not any(map(address.is_loopback, ["0.0.0.0", "::", "10.0.0.1", "example.org"]))


def test_a_proof_is_bound_to_the_real_path(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert address.bound_name(str(tmp_path / "link" / "sock")) == str(tmp_path.resolve() / "sock")
    assert address.bound_name(("h", 1)) == ""


def meet(path: Path) -> None:
    with address.listen(str(path)) as listener, address.dial(str(path), 5.0) as client:
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"hello")
            assert accepted.recv(5) == b"hello"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_socket_path_beyond_the_kernel_s_limit(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    meet(deep / "sock")
    assert (deep / "sock").is_socket()


def test_09_a_stale_socket_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # short paths on any machine
    address.listen("sock").close()
    with pytest.raises(ConnectionRefusedError):
        address.dial("sock", 1.0)
    meet(Path("sock"))


def test_tcp_sends_small_messages_at_once() -> None:
    with (
        address.listen(("127.0.0.1", 0)) as listener,
        address.dial(listener.getsockname()[:2], 5.0) as client,
    ):
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
