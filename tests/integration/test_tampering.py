"""Calls and results that somebody has changed, through a real broker, journal and worker.

The one who changes the journal knows its format, so every checksum is right: only the signature
stands between the change and the unpickler.
"""

from __future__ import annotations

import pickle
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from taskq.codec.envelope import HEAD, Codec
from taskq.errors import TamperedPayload
from taskq.journal.sqlite import FILE
from taskq.protocol.operating import Ping
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from taskq.transport.keys import payload_key
from tests.integration import worker_app as app
from tests.kit.broker import stop_broker
from tests.kit.files import short_directory
from tests.kit.messages import naming
from tests.kit.processes import usage_of

PATIENCE = 20.0
VALUE = 3  # the place of the result in its record


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


class Vault:
    """A broker directory, and the means to change what lies in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "b"
        self.marker = directory / "boom"
        app.queue.use_broker(f"embedded:{self.directory}")

    def stop(self) -> None:
        """End the broker; the next call starts another one on what is there then."""
        stop_broker(app.queue.broker)

    def bomb(self, signed: bytes) -> bytes:
        """Those bytes with their signature, and a bomb in place of what was signed."""
        return signed[:HEAD] + pickle.dumps((Bomb(self.marker), {}))

    def payloads(self) -> list[bytes]:
        """The payloads of all calls, in their order."""
        with closing(self._open()) as db:
            return [row[0] for row in db.execute("SELECT payload FROM message ORDER BY seq")]

    def replace_payloads(self, payloads: list[bytes]) -> None:
        """Put others in their places."""
        with closing(self._open()) as db, db:
            rows = db.execute("SELECT seq, record FROM message ORDER BY seq").fetchall()
            for (seq, record), payload in zip(rows, payloads, strict=True):
                crc = zlib.crc32(payload, zlib.crc32(record, seq))
                change = "UPDATE message SET payload = ?, crc = ? WHERE seq = ?"
                db.execute(change, (payload, crc, seq))

    def results(self) -> list[bytes]:
        """The values of all results, in the order of their calls."""
        with closing(self._open()) as db:
            rows = db.execute("SELECT record FROM result ORDER BY seq")
            return [msgspec.msgpack.decode(record)[VALUE] for (record,) in rows]

    def replace_results(self, values: list[bytes]) -> None:
        """Put others in their places."""
        with closing(self._open()) as db, db:
            rows = db.execute("SELECT seq, record FROM result ORDER BY seq").fetchall()
            for (seq, record), value in zip(rows, values, strict=True):
                parts = msgspec.msgpack.decode(record)
                parts[VALUE] = value
                changed = msgspec.msgpack.encode(parts)
                change = "UPDATE result SET record = ?, crc = ? WHERE seq = ?"
                db.execute(change, (changed, zlib.crc32(changed, seq), seq))

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.directory / FILE)


@pytest.fixture
def vault() -> Iterator[Vault]:
    with short_directory() as directory:
        vault = Vault(directory)
        yield vault
        vault.stop()


def test_74_a_call_that_was_changed_or_moved_is_a_dead_letter_before_it_is_unpickled(
    vault: Vault,
) -> None:
    changed, one, other, flipped, sound = [app.add(n, n) for n in range(5)]
    vault.stop()
    first, second, third, fourth, fifth = vault.payloads()
    bit = fourth[:-3] + bytes([fourth[-3] ^ 1]) + fourth[-2:]
    vault.replace_payloads([vault.bomb(first), third, second, bit, fifth])
    with app.queue.workers(1):
        assert sound.result(PATIENCE) == 8
        for handle in (changed, one, other, flipped):
            with pytest.raises(TamperedPayload, match=naming("call", handle.id)):
                handle.result(PATIENCE)
    letters = app.queue.dlq.list()
    assert [letter.id for letter in letters] == [each.id for each in (changed, one, other, flipped)]
    assert all("TamperedPayload" in letter.reason for letter in letters)
    assert {letter.attempts for letter in letters} == {1}, "it was tried again"
    assert not vault.marker.exists()


def test_75_a_result_that_was_changed_or_exchanged_is_refused_by_the_client(vault: Vault) -> None:
    changed, one, other, sound = [app.add(n, n) for n in range(4)]
    with app.queue.workers(1):
        assert [each.result(PATIENCE) for each in (changed, one, other, sound)] == [0, 2, 4, 6]
    vault.stop()
    first, second, third, fourth = vault.results()
    vault.replace_results([vault.bomb(first), third, second, fourth])
    assert app.queue.handle(sound.id).result(PATIENCE) == 6
    for handle in (changed, one, other):
        with pytest.raises(TamperedPayload, match=naming("result", handle.id)):
            app.queue.handle(handle.id).result(PATIENCE)
    assert not vault.marker.exists()


def test_76_a_compressed_bomb_goes_through_as_it_is(vault: Vault) -> None:
    bomb = zlib.compress(bytes(2**28), 9)  # 256 MiB in 255 KiB
    signed = app.anything(bomb)
    replaced = app.anything(1)
    vault.stop()
    first, second = vault.payloads()
    vault.replace_payloads([first, second[:HEAD] + bomb])
    with app.queue.workers(1):
        child = signed.result(PATIENCE)
        with pytest.raises(TamperedPayload):
            replaced.result(PATIENCE)
        for pid in (child, app.queue.broker.call(Ping()).pid):
            assert usage_of(pid).peak < len(bomb) + 2**27, "it was inflated"


@pytest.mark.parametrize("has_payload_key", [False, True])
def test_74_who_has_only_the_authentication_key_runs_no_code(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, has_payload_key: bool
) -> None:
    # with the payload key it does run: that is what holding that key means, and shows the bomb works
    file = vault.directory.parent / "payload.key"
    file.write_text("p" * 64)
    file.chmod(0o600)
    app.queue.broker.call(Ping())
    key = (vault.directory / "key").read_bytes().strip()
    forger = Codec(b"p" * 64 if has_payload_key else payload_key(key))
    forged = forger.encode_call("w", "forged", app.add.name, (Bomb(vault.marker), 1), {})
    monkeypatch.setenv("TASKQ_PAYLOAD_KEY_FILE", str(file))
    app.queue.use_broker(f"embedded:{vault.directory}")
    app.queue.broker.call(
        Enqueue(queue="w", task=app.add.name, options=Options(), calls=[Call("forged", forged)])
    )
    with app.queue.workers(1):
        error = app.queue.handle("forged").exception(PATIENCE)
        assert app.add(1, 2).result(PATIENCE) == 3
    assert vault.marker.exists() is has_payload_key
    assert isinstance(error, TamperedPayload) is not has_payload_key


@pytest.mark.parametrize("own_payload_key", [True, False])
def test_a_new_authentication_key_keeps_calls_where_the_payload_key_is_another(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, own_payload_key: bool
) -> None:
    if own_payload_key:
        file = vault.directory.parent / "payload.key"
        file.write_text("p" * 64)
        file.chmod(0o600)
        monkeypatch.setenv("TASKQ_PAYLOAD_KEY_FILE", str(file))
    waiting = app.add(1, 2)
    vault.stop()
    before = (vault.directory / "key").read_bytes()
    if own_payload_key:
        (vault.directory / "key").unlink()  # the broker makes another one
    else:
        (vault.directory / "key").write_text("k" * 64)
    app.queue.use_broker(f"embedded:{vault.directory}")  # as a process that starts now
    with app.queue.workers(1):
        if own_payload_key:
            assert app.queue.handle(waiting.id).result(PATIENCE) == 3
        else:
            with pytest.raises(TamperedPayload):
                app.queue.handle(waiting.id).result(PATIENCE)
        assert app.add(3, 4).result(PATIENCE) == 7
    assert (vault.directory / "key").read_bytes() != before
