"""One specimen of every request and reply, with every field set, and the golden frames of them.

`python -m tests.unit.protocol.specimens` writes the golden file of this version: what the other side of
a connection may send. Do that only after something was added, which is a request, a reply, or a field
with a default at the end of a struct. Any other change needs a new protocol version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taskq.protocol import frames
from taskq.protocol.backoff import Backoff
from taskq.protocol.base import Done, Failed, Reply, Request
from taskq.protocol.consuming import (
    Begin,
    Claim,
    Claimed,
    Extend,
    Heartbeat,
    HeartbeatReply,
    Leave,
    Reap,
    Reaped,
    Register,
    Registered,
    Report,
    Settle,
    Settled,
)
from taskq.protocol.operating import (
    Control,
    DeadLetters,
    Durability,
    GetStats,
    Limit,
    ListDead,
    Peek,
    Peeked,
    Ping,
    Pong,
    PurgeDead,
    Replay,
    Stats,
)
from taskq.protocol.producing import (
    Cancel,
    Cancelled,
    Enqueue,
    Enqueued,
    Inspect,
    Inspected,
    Unwatch,
    Wait,
    Waited,
)
from taskq.protocol.values import (
    Abandon,
    Ack,
    BrokerStats,
    Call,
    DeadLetter,
    Delivered,
    Ended,
    ErrorInfo,
    Fail,
    Finished,
    JobInfo,
    Options,
    Preview,
    Progress,
    QueueStats,
    Release,
    Stop,
    WorkerInfo,
    WorkerStats,
)

GOLDEN = Path(__file__).with_name("protocol-2.frames")

_OPTIONS = Options(
    priority=1,
    retries=3,
    backoff=Backoff(base=2.0, factor=3.0, max=60.0, jitter=False, steps=(1.0, 5.0)),
    timeout=9.0,
    lease=20.0,
    max_deliveries=4,
    result_ttl=60.0,
    ack_early=True,
    carries_code=True,
)
_ERROR = ErrorInfo("ValueError", "no", "Traceback …", b"pickled", 2, 1000.5, "host/1")
_PROGRESS = Progress(1.0, 3.0, "one")
_WORKER = WorkerInfo("host", 77, "audit", ["q"], 4, "1.0", "3.11")

REQUESTS: tuple[Request[Any], ...] = (
    Enqueue(
        rid=1,
        wait=2.0,
        queue="q",
        task="m.f",
        options=_OPTIONS,
        calls=[Call("a", b"payload")],
        delay=1.5,
        eta_at=1001.0,
        expires_at=2000.0,
        expires=50.0,
    ),
    Cancel(rid=2, ids=["a"], terminate=True, missing_ok=True),
    Wait(rid=3, wait=5.0, watch=7, add=["a"]),
    Unwatch(rid=4, watch=7),
    Inspect(rid=5, id="a", head=100),
    Register(
        rid=6, worker="w", consumer="c", group="audit", queues=["q"], tasks=["m.f"], holding=[1]
    ),
    Claim(rid=7, wait=30.0, queues=["q"], n=16),
    Begin(rid=8, receipt=1, id="a", group="audit"),
    Settle(
        rid=8,
        outcomes=[
            Ack(1, "a", b"value"),
            Fail(2, "b", _ERROR, True, 4.0),
            Release(3, "c", True),
            Abandon(4, "d"),
        ],
        group="audit",
    ),
    Heartbeat(rid=9, wait=10.0, worker="w", info=_WORKER, running=[1]),
    Reap(
        rid=10,
        worker="w",
        consumer="c",
        running=[1],
        reason="signal 9",
        timed_out=True,
        cancelled=True,
        began=3,
    ),
    Leave(rid=11, worker="w"),
    Extend(rid=12, receipt=1, id="a", seconds=60.0, group="audit"),
    Report(rid=13, receipt=1, id="a", progress=_PROGRESS, group="audit"),
    Control(rid=14, queue="q", action="pause", group="audit"),
    Limit(rid=15, queue="q", max_messages=10, max_bytes=1000),
    Peek(rid=16, queue="q", group="audit", state="dead", limit=5),
    ListDead(
        rid=17,
        queue="q",
        group="audit",
        task="f",
        error="Value",
        limit=5,
        id="a",
        since=1000.0,
        after="b",
        after_group="audit",
    ),
    Replay(rid=18, ids=["a"], queue="q", group="audit", rate=2.0, task="t", error="E"),
    PurgeDead(rid=19, ids=["a"], queue="q", group="audit", task="t", error="E"),
    GetStats(rid=20),
    Ping(rid=21),
)

REPLIES: tuple[Reply, ...] = (
    Failed(rid=1, error="QueueFull", text="the queue 'q' is full"),
    Done(rid=2, count=3),
    Enqueued(rid=3, existing=["a"], rest=2),
    Cancelled(rid=4, cancelled=["a"], asked=["b"]),
    Waited(
        rid=5,
        finished=[Finished("a", "dead", b"value", _ERROR, "q", "m.f")],
        pending=1,
        unconsumed=["q"],
    ),
    Inspected(
        rid=6,
        jobs=[
            JobInfo(
                id="a",
                state="leased",
                queue="q",
                task="m.f",
                group="audit",
                priority=1,
                attempts=2,
                deliveries=3,
                enqueued_at=1000.0,
                due_at=1001.0,
                started_at=1002.0,
                finished_at=1003.0,
                worker="w",
                errors=[_ERROR],
                progress=_PROGRESS,
                size=7,
                carries_code=True,
                payload=b"head",
                consumer="w/1",
                is_running=True,
            )
        ],
    ),
    Registered(rid=14, released=[1, 2], epoch="77-1000.5"),
    Claimed(
        rid=7,
        messages=[Delivered(1, "a", "q", "m.f", b"payload", 2, 9.0, 20.0, True)],
        drained=True,
    ),
    Settled(rid=8, rejected=[2]),
    HeartbeatReply(
        rid=9,
        renew_in=3.0,
        stop=[Stop(1, "w-1/1.1"), Stop(2, "w-1/2.1", True)],
        unknown=["m.f"],
    ),
    Reaped(rid=10, count=2, ended=[Ended(1, "a", "m.f", "ready")]),
    Peeked(
        rid=10, messages=[Preview("a", "m.f", "ready", 1, 2, 1001.0, 7, "w-1/1.1", 1000.5, True)]
    ),
    DeadLetters(
        rid=11,
        entries=[
            DeadLetter(
                id="a",
                queue="q",
                group="audit",
                task="m.f",
                payload=b"payload",
                reason="ValueError: no",
                attempts=2,
                deliveries=3,
                enqueued_at=1000.0,
                first_failed_at=1001.0,
                last_failed_at=1002.0,
                errors=[_ERROR],
            )
        ],
        total=4,
        more=True,
    ),
    Stats(
        rid=12,
        broker=BrokerStats(
            messages=1,
            results=2,
            acknowledged=3,
            parked=4,
            now=1000.0,
            bytes=5,
            max_messages=6,
            max_bytes=7,
            result_bytes=8,
            max_results=9,
            max_result_bytes=10,
            evicted_results=11,
        ),
        queues=[
            QueueStats(
                queue="q",
                group="audit",
                paused=True,
                held=1,
                scheduled=2,
                ready=3,
                leased=4,
                dead=5,
                succeeded=6,
                failed=7,
                cancelled=8,
                expired=9,
                purged=10,
                bytes=11,
                consumers=12,
                oldest_ready_at=1000.0,
                unknown={"m.g": 1},
                unfinished_bytes=13,
                max_messages=14,
                max_bytes=15,
                producers=16,
                parked=17,
                running=18,
            )
        ],
        workers=[
            WorkerStats(name="w", info=_WORKER, seen_at=1000.0, consumers=2, leased=3, tasks=4)
        ],
    ),
    Pong(
        rid=13,
        version="1.0",
        durability=Durability("fsync", "survives a loss of power", 0.0, 1),
        uptime=3600.0,
        pid=77,
        directory="/srv/taskq",
    ),
)


def golden_frames() -> bytes:
    """The frames of all specimens, one after the other."""
    out = bytearray()
    for message in (*REQUESTS, *REPLIES):
        frames.append(out, message)
    return bytes(out)


if __name__ == "__main__":
    GOLDEN.write_bytes(golden_frames())
