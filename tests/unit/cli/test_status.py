"""What `taskq status` advises."""

from __future__ import annotations

from typing import Any

import pytest

from taskq.cli.commands.status import lines
from taskq.cli.support import checks
from taskq.cli.support.target import Target
from taskq.protocol.operating import Durability, Pong, Stats
from taskq.protocol.values import BrokerStats, QueueStats
from tests.kit.messages import missing

OPTION = " --broker shop"


def stats(**changes: Any) -> QueueStats:
    values: dict[str, Any] = dict.fromkeys(QueueStats.__struct_fields__, 0)
    values |= {"queue": "q", "group": "default", "paused": False, "oldest_ready_at": None}
    return QueueStats(**(values | {"unknown": {}} | changes))


def shown(queue: QueueStats) -> str:
    pong = Pong(version="1", pid=1, directory="/d", durability=Durability("fsync"), uptime=1.0)
    found = Stats(broker=BrokerStats(0, 0, 0, 0, 0.0), queues=[queue], workers=[])
    return "\n".join(lines(Target("embedded:/d", "d"), pong, found, "", OPTION))


def test_the_worker_that_is_advised_would_consume_the_queue() -> None:
    told = shown(stats(ready=1, queue="my mails", group="audit"))
    assert not missing(told, "taskq worker APP -Q 'my mails' -g audit --broker shop")


@pytest.mark.parametrize("changes", [{"ready": 1}, {"unknown": {"rn.old": 2}}])
def test_status_and_doctor_advise_the_same(changes: dict[str, Any]) -> None:
    queue = stats(queue="mails:3", group="my audit", **changes)
    (finding,) = checks.queues([queue], OPTION)
    advice = finding.fix.removeprefix("start a worker: ").partition("; or, if the group")[0]
    assert advice in shown(queue)


def test_a_renamed_task_of_a_group_is_explained() -> None:
    told = shown(stats(parked=2, consumers=1, unknown={"rn.old": 2}, group="audit"))
    assert not missing(told, "--include rn -g audit --broker shop", "@queue.task(name='rn.old')")
    assert not missing(told, "taskq queue purge q -g audit --broker shop")
