"""An empty queue is removed, with its groups, totals and limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq import errors
from taskq.engine.states import State
from taskq.journal.sqlite import SqliteJournal
from taskq.protocol.operating import Control, GetStats, Limit
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from tests.kit.engine import WORKER, EngineBench, ids
from tests.kit.messages import naming
from tests.kit.snapshot import snapshot

OTHER = 3


@pytest.fixture
def bench() -> EngineBench:
    """With a queue that a mistyped name has made."""
    bench = EngineBench()
    bench.register()
    bench.call(Limit(queue="typo", max_messages=1))
    return bench


def drop(bench: EngineBench, queue: str = "typo") -> None:
    bench.call(Control(queue=queue, action="drop_queue"))


def queues(bench: EngineBench) -> list[str]:
    return sorted({each.queue for each in bench.call(GetStats()).queues})


def test_it_is_gone_and_made_again_without_its_limit(bench: EngineBench) -> None:
    assert queues(bench) == ["q", "typo"]
    drop(bench)
    assert queues(bench) == ["q"]
    bench.enqueue("a", "b", queue="typo")
    assert bench.stats("typo").max_messages == 0


def test_its_groups_go_too_and_its_results_stay(bench: EngineBench) -> None:
    bench.register(OTHER, worker="w2", group="audit", queues=["typo"])
    bench.enqueue("a", queue="typo")
    bench.ack(bench.claim_one(OTHER, ["typo"]))
    bench.register(OTHER, worker="w2", queues=["typo"])
    bench.ack(bench.claim_one(OTHER, ["typo"]), b"kept")
    bench.disconnect(OTHER)
    drop(bench)
    assert queues(bench) == ["q"]
    assert bench.end("a").value == b"kept"
    assert bench.job("a").state == "succeeded"
    assert bench.enqueue("a", queue="typo") == ["a"]  # the id is known as before
    assert queues(bench) == ["q", "typo"]


def test_what_may_be_dropped_is_checked_without_a_change(bench: EngineBench) -> None:
    bench.call(Control(queue="typo", action="may_drop_queue"))
    assert queues(bench) == ["q", "typo"]
    with pytest.raises(errors.TaskqError, match=naming("'q'", "1 consumer")):
        bench.call(Control(queue="q", action="may_drop_queue"))
    with pytest.raises(errors.TaskqError, match=naming("queue 'none'")):
        bench.call(Control(queue="none", action="may_drop_queue"))


@pytest.mark.parametrize("action", ["drop_queue", "may_drop_queue"])
def test_a_group_is_no_reason_to_drop_its_queue(bench: EngineBench, action: str) -> None:
    bench.register(OTHER, worker="w2", group="audit", queues=["typo"])
    bench.disconnect(OTHER)
    with pytest.raises(errors.TaskqError, match=naming("'audit'", "'typo'", "'drop'")):
        bench.call(Control(queue="typo", action=action, group="audit"))
    assert queues(bench) == ["q", "typo"]


@pytest.mark.parametrize("state", ["ready", "scheduled", "dead", "of another group"])
def test_one_that_is_not_empty_stays(bench: EngineBench, state: str) -> None:
    bench.register(OTHER, worker="w2", queues=["typo"])
    if state == "of another group":
        bench.register(OTHER, worker="w2", group="audit", queues=["typo"])
    bench.enqueue("a", queue="typo", delay=50.0 if state == "scheduled" else 0.0)
    if state == "dead":
        bench.fail(bench.claim_one(OTHER, ["typo"]), final=True)
    if state == "of another group":
        bench.ack(bench.claim_one(OTHER, ["typo"]))
        bench.register(OTHER, worker="w2", queues=["typo"])
    bench.disconnect(OTHER)
    with pytest.raises(errors.TaskqError, match=naming("'typo'", "not empty", "taskq queue purge")):
        drop(bench)
    assert queues(bench) == ["q", "typo"]


def test_one_that_somebody_works_stays(bench: EngineBench) -> None:
    bench.register(OTHER, worker="w2", group="audit", queues=["typo"])
    with pytest.raises(errors.TaskqError, match=naming("'typo'", "1 consumer")):
        drop(bench)
    bench.park_claim(WORKER, queues=["q", "typo"])  # beyond what it has registered for
    with pytest.raises(errors.TaskqError, match="2 consumers"):
        drop(bench)
    assert queues(bench) == ["q", "typo"]


def test_one_for_which_producers_wait_stays(bench: EngineBench) -> None:
    bench.call(Limit(queue="typo", max_messages=0, max_bytes=3))
    bench.enqueue("a", queue="typo", payload=b"abc")
    calls = [Call("b", b"abc")]
    waiting = Enqueue(queue="typo", task="t", options=Options(), calls=calls, wait=10)
    bench.park(waiting, 50)
    bench.apply(Control(queue="typo", action="purge"))
    with pytest.raises(errors.TaskqError, match=naming("'typo'", "producers")):
        drop(bench)
    bench.work_off()
    assert bench.state("b") == State.READY.label


def test_what_it_had_accepted_is_still_counted(tmp_path: Path) -> None:
    bench = EngineBench(journal=SqliteJournal(tmp_path / "j"))

    def accepted() -> int:
        return bench.call(GetStats()).broker.acknowledged

    for round, finished in enumerate(["ended", "ended again"]):
        bench.register(OTHER, worker="w2", queues=["typo"])
        bench.enqueue(finished, queue="typo")
        bench.ack(bench.claim_one(OTHER, ["typo"]))
        bench.enqueue(f"elsewhere {round}")
        bench.disconnect(OTHER)
        drop(bench)
        assert accepted() == 2 * (round + 1)
        bench.restart()
        assert accepted() == 2 * (round + 1)
    assert bench.journal is not None
    bench.journal.close()


def test_the_drop_and_what_makes_it_again_survive_a_restart(tmp_path: Path) -> None:
    bench = EngineBench(journal=SqliteJournal(tmp_path / "j"))
    bench.call(Limit(queue="typo", max_messages=1))
    bench.call(Limit(queue="again", max_messages=1))
    bench.register(OTHER, worker="w2", group="audit", queues=["typo", "again"])
    bench.disconnect(OTHER)
    bench.restart()
    drop(bench)
    bench.apply(Control(queue="again", action="drop_queue"))
    bench.enqueue("a", "b", queue="again")  # in the same tick
    before = snapshot(bench.engine)
    bench.restart()
    assert snapshot(bench.engine) == before
    assert queues(bench) == ["again"]
    assert bench.stats("again").max_messages == 0
    bench.register(OTHER, worker="w2", queues=["again"])
    assert ids(bench.claim(session=OTHER, queues=["again"])) == ["a", "b"]
    assert bench.journal is not None
    bench.journal.close()
