"""Frames that no client of ours sends, against a real broker process.

A million of them: `HYPOTHESIS_PROFILE=long python -m pytest tests/integration/test_hostile_frames.py`.
"""

from __future__ import annotations

import os
import pickle
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from taskq.protocol.base import Failed
from taskq.protocol.frames import MAX_FRAME, frame
from taskq.transport import handshake
from tests.integration.nasty import ill_typed, mangled, well_typed
from tests.kit.attack import (
    AuthenticatedSocket,
    BrokerUnderAttack,
    broker_under_attack,
    read_to_end,
)
from tests.kit.files import ROOT
from tests.kit.waiting import wait_until

TRAP = ROOT / "tests" / "integration" / "trap"
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
TURNS = 150_000 if LONG else 300  # of seven frames each
STRANGERS = 20_000 if LONG else 500
STOCK_METHODS = [
    "#GETVALUE",
    "shutdown",
    "create",
    "accept_connection",
    "dummy",
    "number_of_objects",
]
HUGE = [
    struct.pack("!i", 2**31 - 1),
    struct.pack("!iQ", -1, 2**64 - 1),
    struct.pack("!iQ", -1, 2**63),
    struct.pack("!iQ", -1, 2**40),
]
NEGATIVE = [struct.pack("!i", size) for size in (-2, -3, -(2**31))]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerUnderAttack]:
    with broker_under_attack() as broker:
        yield broker


def stock_calls() -> list[bytes]:
    """What a proxy of the stock manager sends."""
    return [
        pickle.dumps((ident, method, (), {}))
        for method in STOCK_METHODS
        for ident in (None, "0", "engine")
    ]


def throw(broker: BrokerUnderAttack, bodies: list[bytes]) -> None:
    """Send bodies on a connection of their own."""
    insider = broker.authenticate()
    try:
        for body in bodies:
            insider.send(frame(body))
    except OSError:
        pass  # it has hung up already
    finally:
        insider.close()


@pytest.mark.timeout(7200 if LONG else 120)
def test_67_any_request_leaves_the_broker_well_and_its_journal_readable() -> None:
    with broker_under_attack() as broker:

        @settings(
            max_examples=TURNS,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # the broker's log says more than a smaller example would
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(well_typed, min_size=6, max_size=6), st.one_of(ill_typed(), mangled()))
        def storm(accepted: list[bytes], refused: bytes) -> None:
            throw(broker, accepted)
            throw(broker, [refused])
            assert broker.serves(), broker.output[-4000:]

        storm()
        broker.finish()
        broker.start()
        assert broker.serves()


@pytest.mark.timeout(7200 if LONG else 120)
def test_67_noise_from_strangers_closes_their_connections_only(broker: BrokerUnderAttack) -> None:
    source = random.Random(67)
    for _ in range(STRANGERS):
        sock = broker.raw_connect()
        noise = source.randbytes(source.randrange(1, 200))
        sock.sendall(source.choice([noise, frame(noise), struct.pack("!i", 1024) + noise * 20]))
        sock.close()
    assert broker.serves()
    assert len(broker.output) < 20_000


@pytest.mark.parametrize("header", NEGATIVE + HUGE)
def test_67_68_an_impossible_length_closes_that_connection(
    broker: BrokerUnderAttack, header: bytes
) -> None:
    insider = broker.authenticate()
    insider.send(header)
    refused = insider.receive()
    assert isinstance(refused, Failed)
    assert refused.error == "ProtocolError"
    assert read_to_end(insider.sock) == b""
    insider.close()
    stranger = broker.raw_connect()
    stranger.sendall(header)
    assert read_to_end(stranger) == b""
    stranger.close()
    assert broker.serves()


@on_linux
def test_68_no_memory_is_taken_for_what_a_header_announces(broker: BrokerUnderAttack) -> None:
    before = broker.memory()
    waiting: list[AuthenticatedSocket] = []
    for _ in range(100):
        for header in HUGE:
            stranger, insider = broker.raw_connect(), broker.authenticate()
            stranger.sendall(header)
            insider.send(header)
            stranger.close()
            insider.close()
        insider = broker.authenticate()
        insider.send(struct.pack("!i", MAX_FRAME) + b"the first of 65 million bytes")
        waiting.append(insider)
    assert broker.serves()
    assert broker.memory() - before < 16 * 2**20
    for insider in waiting:
        insider.close()


def test_66_73_pickles_and_the_methods_of_the_stock_manager_are_refused(
    broker: BrokerUnderAttack,
) -> None:
    for call in stock_calls():
        insider = broker.authenticate()
        insider.send(frame(call))
        refused = insider.receive()
        assert isinstance(refused, Failed)
        assert refused.error == "ProtocolError"
        assert read_to_end(insider.sock) == b""
        insider.close()
    assert broker.serves()


class Bomb:
    """Unpickling one runs code."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.getpid, ()


def test_66_a_broker_whose_pickle_is_poisoned_serves_all_traffic(tmp_path: Path) -> None:
    trap = {"TASKQ_TEST_TRAP": str(tmp_path / "caught"), "PYTHONPATH": f"{TRAP}:{ROOT}"}
    suite = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", "tests/conformance"]
    done = subprocess.run(
        [*suite, "-k", "embedded and not vanishes and not heartbeats"],  # these two sleep
        cwd=ROOT,
        env={**os.environ, **trap},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with broker_under_attack(**trap) as broker:
        for body in [pickle.dumps(Bomb()), *stock_calls()]:
            throw(broker, [body])
            stranger = broker.raw_connect()
            stranger.sendall(frame(body))
            assert read_to_end(stranger) == b""
            stranger.close()
        greeted = broker.raw_connect()
        greeted.sendall(
            frame(handshake.ClientHandshake(b"x" * 32).hello()) + frame(stock_calls()[0])
        )
        read_to_end(greeted)
        greeted.close()
        assert broker.serves()
    assert not (tmp_path / "caught").exists()


def test_66_the_poison_works(tmp_path: Path) -> None:
    # as the broker's process would be caught: the trap looks at the words of the command line
    program = f"import _pickle as p; p.Unpickler; p.loads({pickle.dumps(Bomb())!r})"
    trap = {"TASKQ_TEST_TRAP": str(tmp_path / "caught"), "PYTHONPATH": f"{TRAP}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", program, "taskq.broker"], env={**os.environ, **trap}, check=False
    )
    assert done.returncode == 66
    wait_until((tmp_path / "caught").exists)
