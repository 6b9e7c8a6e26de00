"""Entries of results: found by id, leaving by time or by age, in little memory."""

from __future__ import annotations

import random
import tracemalloc
from array import array
from math import inf

import pytest

from taskq.engine.entries import Entries
from taskq.engine.segment import LENGTH, pack

TTLS = (10.0, 100.0, 100.0, 100.0, 5000.0, inf)


def entry(number: int) -> tuple[int, int, float, int, int]:
    return (number, number + 1, number + 0.5, 3, 4)


def add(entries: Entries, number: int, time: float) -> None:
    entries.extend([f"id-{number}"], [pack(*entry(number))], array("d", [time]))


@pytest.mark.parametrize("ttls", [(100.0,), TTLS], ids=["one TTL", "many TTLs"])
def test_whatever_comes_and_goes_the_rest_is_found(ttls: tuple[float, ...]) -> None:
    dice = random.Random(5)
    entries, model = Entries(), dict[str, tuple[int, float]]()
    for number in range(6 * LENGTH):
        now = float(number // 8)
        time = now + dice.choice(ttls)
        add(entries, number, time)
        model[f"id-{number}"] = (number, time)
        if number % 64 == 0:
            for id, found in entries.pop_due(now, 100_000):
                stored, due = model.pop(id)
                assert (found.seq, due <= now) == (stored, True)
            assert not [id for id, (_, due) in model.items() if due <= now]
        if number % 5 == 0 and model:
            del model[entries.pop_oldest()[0]]
    assert len(entries) == len(model)
    assert set(entries) == set(model)
    for id, (number, _) in model.items():
        assert entries.get(id) == entry(number)
    assert all(f"id-{number}" in model or f"id-{number}" not in entries for number in range(LENGTH))


def test_the_oldest_go_first() -> None:
    entries = Entries()
    for number in range(3 * LENGTH):
        add(entries, number, 1000.0)
    gone = {entries.pop_oldest()[0] for _ in range(2 * LENGTH)}
    assert gone == {f"id-{number}" for number in range(2 * LENGTH)}


def test_so_many_leave_at_once_and_the_rest_is_still_due() -> None:
    entries = Entries()
    for number in range(LENGTH + 50):
        add(entries, number, 7.0)
    assert len(entries.pop_due(7.0, 30)) == 30
    assert entries.next_due() <= 7.0
    left = 0
    while due := entries.pop_due(7.0, 500):
        left += len(due)
    assert (left, len(entries), entries.next_due()) == (LENGTH + 20, 0, inf)


@pytest.mark.parametrize("newer", [0, 10], ids=["the newest", "between others"])
def test_a_segment_of_mixed_times_may_become_empty(newer: int) -> None:
    entries = Entries()
    times = [inf] * LENGTH + [5.0, 4.0] * (LENGTH // 2) + [inf] * newer
    for number, time in enumerate(times):
        add(entries, number, time)
    while entries.pop_due(7.0, 500):
        pass
    assert entries.next_due() == inf
    left = [number for number, time in enumerate(times) if time == inf]
    assert list(entries) == [f"id-{number}" for number in left]
    assert all(entries.get(f"id-{number}") == entry(number) for number in left)


def test_what_is_loaded_is_as_what_was_added() -> None:
    from array import array

    dice = random.Random(1)
    times = array("d", [dice.choice((50.0, 60.0, inf)) for _ in range(LENGTH + 10)])
    ids = [f"id-{number}" for number in range(len(times))]
    entries = Entries()
    entries.extend(ids, [pack(*entry(number)) for number in range(len(times))], times)
    assert all(entries.get(id) == entry(number) for number, id in enumerate(ids))
    due = {id for id, _ in entries.pop_due(50.0, 100_000)}
    assert due == {id for id, time in zip(ids, times, strict=True) if time == 50.0}
    add(entries, LENGTH + 10, 55.0)
    assert [id for id, _ in entries.pop_due(55.0, 10)] == [f"id-{LENGTH + 10}"]


@pytest.mark.parametrize("id", ["", "\0", "é" * 100, "x" * 5000])
def test_any_text_is_an_id(id: str) -> None:
    entries = Entries()
    assert id not in entries
    entries.extend([id], [pack(*entry(1))], array("d", [1.0]))
    assert id in entries
    assert list(entries) == [id]
    assert entries.pop_oldest() == (id, entry(1))
    assert id not in entries


def test_an_entry_takes_little_memory_and_gives_it_back() -> None:
    entries = Entries()
    number = 20_000
    tracemalloc.start()
    try:
        for each in range(number):
            add(entries, each, float(each if each % 100 else 10**9))
        full, _ = tracemalloc.get_traced_memory()
        while entries.pop_due(float(number), 1000):
            pass
        empty, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert full < 150 * number
    assert len(entries) == number // 100
    assert empty < full / 3
