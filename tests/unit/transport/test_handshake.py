"""The handshake: who gets in, who does not, and what each side learns."""

from __future__ import annotations

import pytest

from taskq.errors import AuthenticationFailed, ProtocolError
from taskq.transport import handshake
from taskq.transport.handshake import ClientHandshake, ServerHandshake
from tests.kit.messages import naming

KEY = b"k" * 64


def shake(client: ClientHandshake, server: ServerHandshake) -> None:
    hello = server.receive(client.hello())
    proof = client.receive(hello)
    assert client.receive(server.receive(proof)) == b""


def test_both_sides_accept_the_same_key() -> None:
    client, server = ClientHandshake(KEY, "/a/sock"), ServerHandshake(KEY, "/a/sock")
    assert not client.has_proved
    shake(client, server)
    assert client.done
    assert server.done
    assert client.has_proved


@pytest.mark.parametrize(("key", "address"), [(b"x" * 64, "/a/sock"), (KEY, "/b/sock"), (KEY, "")])
def test_65_71_another_key_or_address_is_refused(key: bytes, address: str) -> None:
    client, server = ClientHandshake(key, address), ServerHandshake(KEY, "/a/sock")
    proof = client.receive(server.receive(client.hello()))
    with pytest.raises(AuthenticationFailed):
        server.receive(proof)
    assert not server.done


def test_a_broker_that_has_no_time_is_not_one_that_refuses() -> None:
    client = ClientHandshake(KEY)
    client.receive(ServerHandshake(KEY).receive(client.hello()))
    with pytest.raises(ConnectionResetError, match="too busy"):
        client.receive(handshake.BUSY)


def test_71_a_squatter_that_reflects_the_proof_is_refused() -> None:
    client = ClientHandshake(KEY)
    squatter = ServerHandshake(b"unknown" * 10)
    proof = client.receive(squatter.receive(client.hello()))
    with pytest.raises(AuthenticationFailed):
        client.receive(proof)
    assert not client.done


def test_71_a_squatter_between_two_clients_learns_nothing() -> None:
    # it shows each client the other's hello as the broker's, and passes their proofs across
    one, other = ClientHandshake(KEY), ClientHandshake(KEY)
    proof = one.receive(other.hello())
    other.receive(one.hello())
    with pytest.raises(AuthenticationFailed):
        other.receive(proof)


def test_nothing_may_follow_the_proof_before_its_answer() -> None:
    client, server = ClientHandshake(KEY), ServerHandshake(KEY)
    proof = client.receive(server.receive(client.hello()))
    server.receive(proof)
    with pytest.raises(ProtocolError, match="did not wait"):
        server.receive(proof)


def test_a_proof_is_good_for_one_connection() -> None:
    client, server = ClientHandshake(KEY), ServerHandshake(KEY)
    hello = client.hello()
    proof = client.receive(server.receive(hello))
    server.receive(proof)
    later = ServerHandshake(KEY)
    later.receive(hello)
    with pytest.raises(AuthenticationFailed):
        later.receive(proof)


def test_63_another_version_gets_a_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ServerHandshake(KEY)
    monkeypatch.setattr(handshake, "VERSION", 3)
    client = ClientHandshake(KEY)
    monkeypatch.undo()
    hello = server.receive(client.hello())
    monkeypatch.setattr(handshake, "VERSION", 3)
    with pytest.raises(ProtocolError, match=naming("protocol 2", "3", "restart")):
        client.receive(hello)


def test_63_a_client_of_another_version_gets_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ServerHandshake(KEY)
    hello = bytearray(ClientHandshake(KEY).hello())
    hello[6] = 9
    server.receive(bytes(hello))
    with pytest.raises(ProtocolError, match="a client speaks protocol 9"):
        server.receive(b"\0" * 32)


@pytest.mark.parametrize(
    "body", [b"", b"GET / HTTP/1.1", b"taskq", b"taskq\0\2short", b"#CHALLENGE#x"]
)
def test_67_noise_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        ServerHandshake(KEY).receive(body)
    with pytest.raises(ProtocolError):
        ClientHandshake(KEY).receive(body)


def test_79_the_key_is_not_in_the_repr() -> None:
    assert "kkkk" not in repr(ClientHandshake(KEY)) + repr(ServerHandshake(KEY))
