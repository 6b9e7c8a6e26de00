"""Fairness between queues and between tasks, with real worker processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import fairness_app as app
from tests.kit.broker import stop_broker
from tests.kit.files import ROOT

FULL = 400  # messages of each queue
PATIENCE = 20.0  # seconds


@pytest.fixture
def url(short_dir: Path) -> Iterator[str]:
    """A broker of the app's queues."""
    url = f"embedded:{short_dir / 'b'}"
    app.queue.use_broker(url)
    yield url
    stop_broker(app.queue.broker)


def work(url: str, *args: str) -> None:
    """One child works until nothing is left."""
    command = [sys.executable, "-m", "taskq", "--broker", url, "worker", "--burst", *args]
    subprocess.run([*command, f"{app.__name__}:queue"], cwd=ROOT, check=True, timeout=2 * PATIENCE)


def fill(path: Path) -> None:
    """Give both queues the same number of messages, all of `a` first."""
    app.of_a.map([str(path)] * FULL)
    app.of_b.map([str(path)] * FULL)


def test_a_queue_gets_the_share_that_it_weighs(url: str, tmp_path: Path) -> None:
    fill(tmp_path / "runs")
    work(url, "-Q", "a,b:3", "--batch", "1")
    runs = (tmp_path / "runs").read_text()
    assert runs.count("a") == runs.count("b") == FULL
    both_full = runs[: FULL * 4 // 3]  # then b is empty
    turns = [both_full[start : start + 4] for start in range(0, len(both_full) - 3, 4)]
    assert {turn.count("b") for turn in turns} == {3}


def test_in_batches_the_shares_are_those_of_the_weights_too(url: str, tmp_path: Path) -> None:
    fill(tmp_path / "runs")
    work(url, "-Q", "a,b:3", "--batch", "5")
    runs = (tmp_path / "runs").read_text()
    first = runs[: FULL * 4 // 3]
    # batches differ in size: a slow moment makes the next one smaller
    assert abs(first.count("b") - FULL) <= FULL // 10


def test_an_empty_queue_leaves_its_share_to_the_others(url: str, tmp_path: Path) -> None:
    app.of_a.map([str(tmp_path / "runs")] * FULL)
    work(url, "-Q", "a,b:3", "--batch", "1")
    assert (tmp_path / "runs").read_text() == "a" * FULL


@pytest.mark.parametrize(("batch", "most"), [("1", 1), ("4", 4)])
def test_a_claim_takes_no_more_than_its_batch(url: str, batch: str, most: int) -> None:
    seen = app.in_hand.starmap([()] * 60)
    work(url, "-Q", "a", "--batch", batch)
    assert max(seen.results(PATIENCE)) <= most
