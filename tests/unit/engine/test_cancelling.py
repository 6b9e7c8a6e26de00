"""Cancel: what waits ends at once, what runs is asked, what has ended stays."""

from __future__ import annotations

import pytest

from taskq.errors import UnknownMessage
from taskq.protocol.consuming import Heartbeat, Leave
from taskq.protocol.producing import Cancel, Cancelled
from taskq.protocol.values import Abandon, WorkerInfo
from tests.kit.engine import WORKER, EngineBench

HEART = WORKER + 100


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def cancel(bench: EngineBench, *ids: str, terminate: bool = False) -> Cancelled:
    return bench.call(Cancel(ids=list(ids), terminate=terminate))


def heartbeat(wait: float = 60) -> Heartbeat:
    return Heartbeat(worker="w", info=WorkerInfo(), wait=wait)


def test_what_waits_is_cancelled_at_once(bench: EngineBench) -> None:
    bench.enqueue("ready")
    bench.enqueue("later", delay=50)
    reply = cancel(bench, "ready", "later")
    assert (reply.cancelled, reply.asked) == (["ready", "later"], [])
    assert bench.claim() == []
    assert (bench.end("ready").state, bench.end("later").state) == ("cancelled", "cancelled")
    bench.after(50)
    assert bench.claim() == []


def test_what_runs_is_asked_through_the_heartbeat(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    beat = bench.park(heartbeat(), HEART)
    reply = cancel(bench, "a")
    assert (reply.cancelled, reply.asked) == ([], ["a"])
    attended = bench.answer(beat)
    assert (attended.cancel, attended.terminate) == ([message.receipt], [])
    assert bench.state("a") == "leased"


def test_terminate_is_distinguished_from_cancel(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    beat = bench.park(heartbeat(), HEART)
    cancel(bench, "a", terminate=True)
    attended = bench.answer(beat)
    assert (attended.cancel, attended.terminate) == ([], [message.receipt])
    bench.reap(running=[message.receipt], cancelled=True)
    assert bench.end("a").state == "cancelled"


def test_terminate_after_a_polite_request(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    cancel(bench, "a")
    assert bench.heartbeat().cancel == [message.receipt]
    cancel(bench, "a", terminate=True)
    assert bench.heartbeat().terminate == [message.receipt]


def test_a_cancellation_between_two_heartbeats_is_reported_by_the_next_at_once(
    bench: EngineBench,
) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    bench.heartbeat()
    cancel(bench, "a")
    assert bench.heartbeat(wait=60).cancel == [message.receipt]
    assert bench.heartbeat().cancel == []


def test_asking_twice_reports_once(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    bench.heartbeat()
    cancel(bench, "a")
    assert cancel(bench, "a").asked == ["a"]
    assert bench.heartbeat().cancel == [message.receipt]


def test_a_polite_request_takes_nothing_back(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    cancel(bench, "a", terminate=True)
    assert bench.heartbeat().terminate == [message.receipt]
    cancel(bench, "a")
    attended = bench.heartbeat(session=HEART + 1)
    assert (attended.cancel, attended.terminate) == ([], [message.receipt])


def test_a_cancellation_is_reported_again_on_a_new_connection(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    one, two = bench.claim()
    cancel(bench, "a")
    cancel(bench, "b", terminate=True)
    bench.heartbeat(session=HEART)  # this reply is lost with its connection
    bench.disconnect(HEART)
    attended = bench.heartbeat(wait=60, session=HEART + 1)
    assert (attended.cancel, attended.terminate) == ([one.receipt], [two.receipt])


HOWEVER = ["fail", "release", "lapse", "reap", "reap unstarted", "leave", "abandon", "register"]


@pytest.mark.parametrize("terminate", [False, True])
def test_a_new_connection_gets_at_once_the_one_task_that_is_to_stop(
    bench: EngineBench, terminate: bool
) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    cancel(bench, "a", terminate=terminate)
    bench.heartbeat(session=HEART)
    attended = bench.heartbeat(wait=60, session=HEART + 1)
    assert (attended.terminate if terminate else attended.cancel) == [message.receipt]


@pytest.mark.parametrize("how", HOWEVER)
def test_however_a_cancelled_run_ends_it_is_cancelled(bench: EngineBench, how: str) -> None:
    bench.enqueue("a", retries=5, lease=10)
    message = bench.claim_one()
    cancel(bench, "a")
    if how == "fail":
        bench.fail(message)
    elif how == "release":
        bench.release(message)
    elif how == "lapse":
        bench.after(10)
    elif how == "reap":
        bench.reap(running=[message.receipt])
    elif how == "reap unstarted":
        bench.reap(running=[])
    elif how == "leave":
        bench.call(Leave(worker="w"))
    elif how == "register":
        bench.register()
    else:
        bench.settle(Abandon(message.receipt, "a"))
    end = bench.end("a")
    reasons = {"fail": "ValueError", "lapse": "WorkerLost", "reap": "WorkerLost"}
    assert (end.state, end.error and end.error.kind) == ("cancelled", reasons.get(how))
    job = bench.job("a")
    assert job.finished_at == bench.now
    assert job.errors == ([end.error] if end.error else [])
    assert bench.engine.ledger.messages == {}


def test_a_run_that_succeeds_in_spite_of_it_has_succeeded(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    cancel(bench, "a")
    bench.ack(message, b"42")
    assert bench.end("a").value == b"42"


def test_what_has_ended_is_left_alone(bench: EngineBench) -> None:
    bench.enqueue("done")
    bench.ack(bench.claim_one())
    bench.bury("dead")
    reply = cancel(bench, "done", "dead")
    assert (reply.cancelled, reply.asked) == ([], [])
    assert (bench.end("done").state, bench.state("dead")) == ("succeeded", "dead")


def test_a_forgotten_one_has_ended_too(bench: EngineBench) -> None:
    bench.enqueue("a", result_ttl=100)
    bench.ack(bench.claim_one())
    bench.after(100)
    assert cancel(bench, "a").cancelled == []


def test_an_unknown_id_refuses_all_and_changes_nothing(bench: EngineBench) -> None:
    bench.enqueue("a")
    with pytest.raises(UnknownMessage, match="'nobody'"):
        cancel(bench, "a", "nobody")
    assert bench.state("a") == "ready"


def test_ids_that_are_not_there_may_be_passed_over(bench: EngineBench) -> None:
    bench.enqueue("a")
    reply = bench.call(Cancel(ids=["nobody", "a"], missing_ok=True))
    assert reply.cancelled == ["a"]


def test_the_same_id_twice_in_one_request(bench: EngineBench) -> None:
    bench.enqueue("a")
    assert cancel(bench, "a", "a").cancelled == ["a"]
