"""Smooth weighted round robin over queues."""

from __future__ import annotations

from collections import Counter

from taskq.worker.runtime.rotation import Rotation


def test_each_queue_is_first_as_often_as_it_weighs() -> None:
    rotation = Rotation([("a", 5), ("b", 1), ("c", 1)])
    firsts = [rotation.next()[0] for _ in range(70)]
    assert Counter(firsts) == {"a": 50, "b": 10, "c": 10}
    assert "".join(firsts[:7]) == "aabacaa"


def test_every_claim_names_every_queue_once() -> None:
    rotation = Rotation([("a", 1), ("b", 3), ("c", 2)])
    for _ in range(20):
        first, *others = rotation.next()
        assert others == [name for name in "abc" if name != first]


def test_one_queue() -> None:
    assert Rotation([("only", 3)]).next() == ["only"]
