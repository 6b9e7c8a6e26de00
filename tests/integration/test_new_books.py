"""A broker that comes back without its books: what workers still hold of the old ones means nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import worker_app as app
from tests.kit.processes import end
from tests.kit.scene import Scene
from tests.kit.waiting import wait_until
from tests.kit.worker import PATIENCE


@pytest.fixture(params=["none", "os"])
def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A scene with a broker of that durability, whoever starts it."""
    monkeypatch.setenv("TASKQ_DURABILITY", request.param)
    scene = Scene(app, TASKQ_DURABILITY=request.param)
    yield scene
    scene.close()


def lose_the_books(scene: Scene) -> None:
    """SIGKILL for the broker; what it had on disk goes, but for its key."""
    directory = scene.directory / "b"
    end(scene.broker_pid(), signal.SIGKILL)
    for path in directory.iterdir():
        if path.name.startswith("journal"):
            path.unlink()


def test_22_an_outcome_of_lost_books_is_not_that_of_a_new_message_with_the_same_id(
    scene: Scene,
) -> None:
    scene.worker()
    app.gate.options(id="daily")(scene.path("first"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    lose_the_books(scene)
    again = app.gate.options(id="daily")(scene.path("second"), scene.path("runs"))
    scene.worker()
    wait_until(lambda: len(scene.lines("runs")) == 2)
    old, new = map(int, scene.lines("runs"))
    Path(scene.path("first")).touch()
    assert app.pid().result(PATIENCE) == old  # which has settled before
    assert not again.done()
    Path(scene.path("second")).touch()
    assert again.result(PATIENCE) == new


def test_fencing_tokens_rise_though_the_books_are_lost(scene: Scene) -> None:
    scene.worker()
    Path(scene.path("gate")).touch()
    fences = []
    for _ in range(3):
        fences.append(app.extend_after(scene.path("gate"), scene.path("log")).result(PATIENCE))
        lose_the_books(scene)
    assert fences == sorted(set(fences))
