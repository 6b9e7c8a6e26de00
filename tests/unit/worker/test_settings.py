"""WorkerSettings of a worker, and its queue notation."""

from __future__ import annotations

import pytest

from taskq.worker.settings import WorkerSettings, parse_queues


def test_queues_have_weights() -> None:
    assert parse_queues("a, b:3,c.d:10") == (("a", 1), ("b", 3), ("c.d", 10))


@pytest.mark.parametrize("text", ["", "a,,b", ":3", "a:0", "a:-1", "a:x", "a:", "a,a:2", "a:²"])
def test_bad_queues_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_queues(text)


def test_a_weight_that_is_none_may_be_part_of_the_name() -> None:
    with pytest.raises(ValueError, match="write mails:eu:1"):
        parse_queues("mails:eu")
    assert parse_queues("mails:eu:1") == (("mails:eu", 1),)


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"batch": 0},
        {"max_tasks": 0},
        {"max_memory": -1},
        {"max_memory": 3},
        {"shutdown_timeout": -1.0},
        {"shutdown_timeout": float("nan")},
        {"group": ""},
        {"log_format": "xml"},
        {"log_level": "loud"},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        WorkerSettings(app="app:queue", **wrong)  # type: ignore[arg-type]


def test_a_worker_without_an_app_needs_queues() -> None:
    with pytest.raises(ValueError, match="-Q"):
        WorkerSettings()
    assert WorkerSettings(queues=(("q", 1),)).app is None
