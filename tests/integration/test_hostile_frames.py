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
from tests.integration.fort import ROOT, Fort, Insider, besieged, last_words
from tests.integration.nasty import ill_typed, mangled, well_typed
from tests.support import wait_until

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
def fort() -> Iterator[Fort]:
    with besieged() as fort:
        yield fort


def stock_calls() -> list[bytes]:
    """What a proxy of the stock manager sends."""
    return [
        pickle.dumps((ident, method, (), {}))
        for method in STOCK_METHODS
        for ident in (None, "0", "engine")
    ]


def throw(fort: Fort, bodies: list[bytes]) -> None:
    """Send bodies on a connection of their own."""
    insider = fort.enter()
    try:
        for body in bodies:
            insider.send(frame(body))
    except OSError:
        pass  # it has hung up already
    finally:
        insider.close()


@pytest.mark.timeout(7200 if LONG else 120)
def test_67_any_request_leaves_the_broker_well_and_its_journal_readable() -> None:
    with besieged() as fort:

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
            throw(fort, accepted)
            throw(fort, [refused])
            assert fort.serves(), fort.log()[-4000:]

        storm()
        fort.known.close()
        fort.process.terminate()
        assert fort.process.wait(20) == 0
        fort.start()
        assert fort.serves()


@pytest.mark.timeout(7200 if LONG else 120)
def test_67_noise_from_strangers_closes_their_connections_only(fort: Fort) -> None:
    source = random.Random(67)
    for _ in range(STRANGERS):
        sock = fort.knock()
        noise = source.randbytes(source.randrange(1, 200))
        sock.sendall(source.choice([noise, frame(noise), struct.pack("!i", 1024) + noise * 20]))
        sock.close()
    assert fort.serves()
    assert len(fort.log()) < 20_000


@pytest.mark.parametrize("header", NEGATIVE + HUGE)
def test_67_68_an_impossible_length_closes_that_connection(fort: Fort, header: bytes) -> None:
    insider = fort.enter()
    insider.send(header)
    refused = insider.receive()
    assert isinstance(refused, Failed)
    assert refused.error == "ProtocolError"
    assert last_words(insider.sock) == b""
    insider.close()
    stranger = fort.knock()
    stranger.sendall(header)
    assert last_words(stranger) == b""
    stranger.close()
    assert fort.serves()


@on_linux
def test_68_no_memory_is_taken_for_what_a_header_announces(fort: Fort) -> None:
    before = fort.memory()
    waiting: list[Insider] = []
    for _ in range(100):
        for header in HUGE:
            stranger, insider = fort.knock(), fort.enter()
            stranger.sendall(header)
            insider.send(header)
            stranger.close()
            insider.close()
        insider = fort.enter()
        insider.send(struct.pack("!i", MAX_FRAME) + b"the first of 65 million bytes")
        waiting.append(insider)
    assert fort.serves()
    assert fort.memory() - before < 16 * 2**20
    for insider in waiting:
        insider.close()


def test_66_73_pickles_and_the_methods_of_the_stock_manager_are_refused(fort: Fort) -> None:
    for call in stock_calls():
        insider = fort.enter()
        insider.send(frame(call))
        refused = insider.receive()
        assert isinstance(refused, Failed)
        assert refused.error == "ProtocolError"
        assert last_words(insider.sock) == b""
        insider.close()
    assert fort.serves()


class Bomb:
    """Unpickling one runs code."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.getpid, ()


def test_66_a_broker_whose_pickle_is_poisoned_serves_all_traffic(tmp_path: Path) -> None:
    trap = {"TASKQ_TEST_TRAP": str(tmp_path / "caught"), "PYTHONPATH": f"{TRAP}:{ROOT}"}
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/conformance"]
    done = subprocess.run(
        [*suite, "-k", "embedded and not vanishes and not heartbeats"],  # these two sleep
        cwd=ROOT,
        env={**os.environ, **trap},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with besieged(**trap) as fort:
        for body in [pickle.dumps(Bomb()), *stock_calls()]:
            throw(fort, [body])
            stranger = fort.knock()
            stranger.sendall(frame(body))
            assert last_words(stranger) == b""
            stranger.close()
        greeted = fort.knock()
        greeted.sendall(
            frame(handshake.ClientHandshake(b"x" * 32).hello()) + frame(stock_calls()[0])
        )
        last_words(greeted)
        greeted.close()
        assert fort.serves()
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
