"""One function for each thing that can happen to an engine."""

from __future__ import annotations

from math import inf

from taskq.protocol.backoff import Backoff
from taskq.protocol.consuming import Claim, Extend, Leave, Register, Settle
from taskq.protocol.operating import Control, Limit, PurgeDead, Replay
from taskq.protocol.producing import Cancel, Enqueue
from taskq.protocol.values import Abandon, Ack, Call, Delivered, ErrorInfo, Fail, Options, Release
from tests.kit.engine import WORKER, EngineBench, failure


def enqueue_variants(bench: EngineBench) -> None:
    bench.enqueue("plain", payload=b"\x00\xff" * 100)
    bench.enqueue("empty", payload=b"")
    bench.enqueue("delayed", delay=50)
    bench.enqueue("eta", eta_at=bench.now + 20)
    bench.enqueue("expiring", expires_at=bench.now + 100)
    bench.enqueue("critical", priority=0)
    bench.enqueue("elsewhere", queue="other", result_ttl=inf, timeout=3.0)
    bench.enqueue("ünïcode", task="tâche", backoff=Backoff(steps=(1.0, 2.5)))


def claim(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue(*"abcd", retries=3, lease=20)
    bench.claim(3)


def ack(bench: EngineBench) -> None:
    claim(bench)
    bench.settle(Ack(1, "a", b"42"), Ack(2, "b", None))


def fail(bench: EngineBench) -> None:
    claim(bench)
    error = ErrorInfo("mod.Error", "text", "Traceback …", b"\x80pickled", worker="w")
    bench.settle(Fail(1, "a", error), Fail(2, "b", error, True), Fail(3, "c", error, delay=5))


def release(bench: EngineBench) -> None:
    claim(bench)
    bench.settle(Release(1, "a"), Release(2, "b", True), Abandon(3, "c"))


def park_unknown(bench: EngineBench) -> None:
    bench.register(tasks=["known"])
    bench.enqueue(*"abc", task="new")
    bench.claim()


def take_parked(bench: EngineBench) -> None:
    park_unknown(bench)
    bench.register(3, consumer="c2", tasks=["new"])
    bench.claim(2, session=3)


def lapse(bench: EngineBench) -> None:
    claim(bench)
    bench.after(20)


def reap(bench: EngineBench) -> None:
    claim(bench)
    bench.reap(running=[1])


def reap_timeout(bench: EngineBench) -> None:
    claim(bench)
    bench.reap(running=[1], timed_out=True)


def reap_cancelled(bench: EngineBench) -> None:
    claim(bench)
    bench.reap(running=[1], cancelled=True)


def leave(bench: EngineBench) -> None:
    claim(bench)
    bench.call(Leave(worker="w"))


def register_again(bench: EngineBench) -> None:
    claim(bench)
    bench.register(9, holding=[2])


def extend(bench: EngineBench) -> None:
    claim(bench)
    bench.call(Extend(receipt=1, id="a", seconds=100))
    bench.after(50)


def cancel(bench: EngineBench) -> None:
    claim(bench)
    bench.call(Cancel(ids=["a", "d"]))
    bench.call(Cancel(ids=["b"], terminate=True))


def cancel_then_end(bench: EngineBench) -> None:
    cancel(bench)
    bench.settle(failure(Delivered(1, "a", "", "", b"", 1, None, 1.0)))


def expire(bench: EngineBench) -> None:
    bench.enqueue("a", "b", expires_at=bench.now + 5)
    bench.after(5)


def become_due(bench: EngineBench) -> None:
    bench.enqueue("a", delay=5)
    bench.enqueue("b", delay=50)
    bench.after(5)


def early(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue("a", "b", ack_early=True)
    bench.claim(1)


def pause(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.call(Control(queue="q", action="pause"))


def resume(bench: EngineBench) -> None:
    pause(bench)
    bench.call(Control(queue="q", action="resume"))


def purge(bench: EngineBench) -> None:
    claim(bench)
    bench.enqueue("later", delay=50)
    bench.call(Control(queue="q", action="purge"))


def replay(bench: EngineBench) -> None:
    bench.register()
    bench.bury(*"abcd")
    bench.call(Replay(ids=["b"]))
    bench.call(Replay(queue="q", rate=2.0))


def purge_dead(bench: EngineBench) -> None:
    bench.register()
    bench.bury(*"abcd")
    bench.call(PurgeDead(ids=["b"]))


def second_group(bench: EngineBench) -> None:
    bench.register()
    bench.register(3, worker="auditor", group="audit")
    bench.enqueue(*"abcd", retries=1)
    for message in bench.claim(2):
        bench.ack(message)
    first, second, *_ = bench.claim(3, session=3)
    bench.ack(first)
    bench.fail(second, final=True)


def late_group(bench: EngineBench) -> None:
    claim(bench)
    bench.ack(Delivered(1, "a", "", "", b"", 1, None, 1.0))
    bench.fail(Delivered(2, "b", "", "", b"", 1, None, 1.0), final=True)
    bench.register(3, worker="late", group="late")
    bench.enqueue("e")


def late_group_after_a_death(bench: EngineBench) -> None:
    bench.register()
    bench.bury("a")
    bench.register(3, worker="late", group="late")


def group_in_the_tick_of_its_messages(bench: EngineBench) -> None:
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("a", b"")]))
    bench.apply(Register(worker="w", consumer="c", group="late", queues=["q"]))
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("b", b"")]))
    bench.tick()


def purge_of_one_group(bench: EngineBench) -> None:
    second_group(bench)
    bench.call(Control(queue="q", group="default", action="purge"))


def leave_a_group(bench: EngineBench) -> None:
    """A group with a copy in each state, and nobody who works it."""
    second_group(bench)
    bench.enqueue("later", delay=50)
    bench.enqueue("expired", expires_at=bench.now + 1)
    bench.after(1)
    bench.disconnect(3)


def drop_group(bench: EngineBench) -> None:
    leave_a_group(bench)
    bench.call(Control(queue="q", group="audit", action="drop"))


def drop_group_and_make_it_again(bench: EngineBench) -> None:
    drop_group(bench)
    bench.register(3, worker="auditor", group="audit")


def drop_group_and_make_it_again_in_one_tick(bench: EngineBench) -> None:
    leave_a_group(bench)
    bench.apply(Control(queue="q", group="audit", action="drop"))
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("between", b"x")]))
    bench.apply(Register(worker="auditor", consumer="c", group="audit", queues=["q"]), 3)
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("after", b"x")]))
    bench.tick()


def make_and_drop_group_in_one_tick(bench: EngineBench) -> None:
    claim(bench)
    bench.apply(Register(worker="auditor", consumer="c", group="audit", queues=["q"]), 3)
    bench.apply(Leave(worker="auditor"), 3)
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("between", b"x")]))
    bench.apply(Control(queue="q", group="audit", action="drop"))
    bench.tick()


def drop_group_beside_one_new_message(bench: EngineBench) -> None:
    bench.enqueue("first")
    bench.ack(_claimed(bench))
    bench.register(3, worker="auditor", group="audit")
    bench.disconnect(3)
    bench.apply(Control(queue="q", group="audit", action="drop"))
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("a", b"x")]))
    bench.tick()


def drop_empty_group(bench: EngineBench) -> None:
    bench.enqueue("done")
    bench.ack(_claimed(bench))
    bench.register(3, worker="auditor", group="audit")
    bench.disconnect(3)
    bench.call(Control(queue="q", group="audit", action="drop"))


def _claimed(bench: EngineBench) -> Delivered:
    bench.register()
    return bench.claim_one()


def results_expire(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue("a", result_ttl=100)
    bench.enqueue("b", result_ttl=200)
    for message in bench.claim():
        bench.ack(message)
    bench.after(150)


def add_claim_and_settle_in_one_tick(bench: EngineBench) -> None:
    bench.register()
    for id in "abc":
        bench.apply(
            Enqueue(queue="q", task="t", options=Options(retries=1), calls=[Call(id, b"x")])
        )
    bench.apply(Claim(queues=["q"], n=2, wait=0), WORKER)
    bench.apply(
        Settle(outcomes=[Ack(1, "a", b"1"), failure(Delivered(2, "b", "", "", b"", 1, 0, 0))])
    )
    bench.tick()


def add_beside_a_claim(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue("a")
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("b", b"x")]))
    bench.apply(Claim(queues=["q"], n=1, wait=0), WORKER)
    bench.tick()


def add_and_cancel_in_one_tick(bench: EngineBench) -> None:
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("a", b"x")]))
    bench.apply(Cancel(ids=["a"]))
    bench.tick()


def add_and_purge_in_one_tick(bench: EngineBench) -> None:
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("a", b"x")]))
    bench.apply(Control(queue="q", action="purge"))
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("a", b"y")]))
    bench.tick()


def limit(bench: EngineBench) -> None:
    bench.call(Limit(queue="q", max_messages=2))
    bench.call(Limit(queue="other", max_messages=7, max_bytes=2**40))
    bench.register()
    bench.register(3, worker="w2", group="audit")
    bench.bury("dead")
    bench.enqueue("a")


OPERATIONS = [
    limit,
    enqueue_variants,
    claim,
    ack,
    fail,
    release,
    park_unknown,
    take_parked,
    lapse,
    reap,
    reap_timeout,
    reap_cancelled,
    leave,
    register_again,
    extend,
    cancel,
    cancel_then_end,
    expire,
    become_due,
    early,
    pause,
    resume,
    purge,
    replay,
    purge_dead,
    second_group,
    late_group,
    late_group_after_a_death,
    group_in_the_tick_of_its_messages,
    purge_of_one_group,
    leave_a_group,
    drop_group,
    drop_group_and_make_it_again,
    drop_group_and_make_it_again_in_one_tick,
    make_and_drop_group_in_one_tick,
    drop_group_beside_one_new_message,
    drop_empty_group,
    results_expire,
    add_claim_and_settle_in_one_tick,
    add_beside_a_claim,
    add_and_cancel_in_one_tick,
    add_and_purge_in_one_tick,
]
