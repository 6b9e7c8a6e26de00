from __future__ import annotations

import pytest

from taskq import TaskQueue, errors
from taskq.client.dlq import DeadEntry
from taskq.protocol.consuming import Register
from taskq.protocol.operating import ListDead, Peek
from taskq.protocol.producing import Inspect
from tests.kit.inline_worker import run_ready


@pytest.fixture
def q() -> TaskQueue:
    queue = TaskQueue("q", broker="memory:")

    @queue.task(name="mail.send")
    def send(to: str, copies: int = 1) -> None:
        raise ConnectionError(f"no route to {to}")

    return queue


def test_an_entry_shows_everything(q: TaskQueue) -> None:
    handle = q.tasks["mail.send"]("a@b.c", copies=2)
    run_ready(q)
    (entry,) = q.dlq.list()
    assert (entry.id, entry.queue, entry.task) == (handle.id, "q", "mail.send")
    assert entry.reason == "ConnectionError: no route to a@b.c"
    assert (entry.attempts, len(entry.errors)) == (1, 1)
    assert entry.call.args == ("a@b.c",)
    assert entry.call.kwargs == {"copies": 2}
    assert entry.describe() == "mail.send('a@b.c', copies=2)"
    assert "in send" in entry.tracebacks[0]
    assert entry.first_failed_at <= entry.last_failed_at
    assert q.dlq.get(handle.id).id == handle.id


def test_filters(q: TaskQueue) -> None:
    q.tasks["mail.send"].map(["a", "b", "c"])
    run_ready(q)
    assert len(q.dlq) == 3
    assert len(list(q.dlq)) == 3
    assert len(q.dlq.list(2)) == 2
    assert len(q.dlq.list(task="mail")) == 3
    assert q.dlq.list(task="other") == []
    assert len(q.dlq.list(error="ConnectionError")) == 3
    with pytest.raises(ValueError, match="limit must be"):
        q.dlq.list(-1)


@pytest.mark.parametrize("page", [1, 2, 3, 7, 100])
def test_all_are_visited_whatever_happens_to_them(
    q: TaskQueue, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskq.client.dlq.PAGE", page)
    ids = [handle.id for handle in q.tasks["mail.send"].map(map(str, range(7)))]
    run_ready(q)
    assert [entry.id for entry in q.dlq] == ids
    for position, entry in enumerate(q.dlq):
        assert entry.id == ids[position]
        if position % 3:
            entry.replay()
    assert [entry.id for entry in q.dlq.list(2)] == [ids[0], ids[3]]


def test_replay_and_purge(q: TaskQueue) -> None:
    handles = q.tasks["mail.send"].map(["a", "b", "c"])
    run_ready(q)
    q.dlq.replay(handles[0].id)
    assert handles[0].status() == "ready"
    q.dlq.list()[0].purge()
    assert len(q.dlq) == 1
    assert q.dlq.replay_all() == 1
    run_ready(q)
    assert q.dlq.purge_all() == 2
    assert len(q.dlq) == 0
    assert q.dlq
    for act in (q.dlq.get, q.dlq.replay, q.dlq.purge):
        with pytest.raises(errors.UnknownMessage):
            act("nothing")
    with pytest.raises(ValueError, match="rate must be"):
        q.dlq.replay_all(rate=0)


class Shop:
    """Two queues of one app and one of another, at one broker; every call fails."""

    def __init__(self) -> None:
        self.app = TaskQueue("shop", broker="memory:")
        self.other = TaskQueue("other")
        self.other.use_broker(self.app.broker)

        def fail(n: int) -> None:
            raise ValueError(n)

        self.order = self.app.task(name="order")(fail)
        self.mail = self.app.task(name="mail", queue="mails")(fail)
        self.others = self.other.task(name="others")(fail)


def test_the_dead_letters_of_every_queue_of_the_app_and_of_no_other() -> None:
    shop = Shop()
    handles = [shop.order(1), shop.mail(2)]
    strange = shop.others(3)
    run_ready(shop.app)
    run_ready(shop.other)
    assert [entry.id for entry in shop.app.dlq] == [handle.id for handle in handles]
    assert {entry.queue for entry in shop.app.dlq.list()} == {"shop", "mails"}
    assert len(shop.app.dlq.list(1)) == 1
    assert len(shop.app.dlq) == 2
    assert shop.app.dlq.get(handles[1].id).queue == "mails"
    for act in (shop.app.dlq.get, shop.app.dlq.replay, shop.app.dlq.purge):
        for id in (strange.id, ""):
            with pytest.raises(errors.UnknownMessage, match="in 'shop', 'mails'"):
                act(id)
    assert shop.app.dlq.replay_all() == 2
    run_ready(shop.app)
    assert shop.app.dlq.purge_all() == 2
    assert [entry.id for entry in shop.other.dlq] == [strange.id]


def test_what_fits_is_replayed_and_purged() -> None:
    shop = Shop()
    shop.order(1)
    shop.mail(2)
    run_ready(shop.app)
    assert shop.app.dlq.replay_all(task="ord") == 1
    assert [entry.task for entry in shop.app.dlq] == ["mail"]
    assert shop.app.dlq.purge_all(error="KeyError") == 0
    assert shop.app.dlq.purge_all(error="ValueError") == 1


def test_a_rate_is_that_of_all_queues_together() -> None:
    shop = Shop()
    for n in range(3):
        shop.order(n)
    shop.mail(9)
    run_ready(shop.app)
    assert shop.app.dlq.replay_all(rate=0.001) == 4
    found = {stats.queue: stats for stats in shop.app.stats().queues}
    assert (found["shop"].ready, found["shop"].scheduled) == (1, 2)
    due = [
        shop.app.broker.call(Inspect(id=each.id)).jobs[0].due_at
        for each in shop.app.broker.call(Peek(queue="shop", state="scheduled")).messages
    ]
    assert due[1] - due[0] == pytest.approx(4000 / 3)


def test_an_entry_acts_on_its_own_group_only() -> None:
    queue = TaskQueue("q", broker="memory:")
    queue.broker.connect().call(
        Register(worker="w", consumer="c", group="audit", queues=["q"], tasks=None)
    )
    handle = queue.task(name="fails")(lambda: 1 / 0)()
    run_ready(queue)
    run_ready(queue, group="audit")
    by_group = {entry.group: entry for entry in queue.dlq}
    assert by_group.keys() == {"default", "audit"}
    by_group["audit"].purge()
    assert [entry.group for entry in queue.dlq] == ["default"]
    by_group["default"].replay()
    assert handle.status() == "ready"
    for act in (by_group["default"].replay, by_group["audit"].purge):
        with pytest.raises(errors.UnknownMessage):
            act()


def test_a_call_that_cannot_be_loaded_is_still_shown(q: TaskQueue) -> None:
    q.tasks["mail.send"]("a")
    run_ready(q)
    (letter,) = q.broker.call(ListDead()).entries
    letter.payload = b"x" * 40
    entry = DeadEntry(q, letter)
    assert "cannot be shown" in entry.describe()
    with pytest.raises(errors.TamperedPayload):
        _ = entry.call
