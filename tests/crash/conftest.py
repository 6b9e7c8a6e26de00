"""Fixtures of the crash tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.scene import CrashScene


@pytest.fixture
def scene() -> Iterator[CrashScene]:
    """A broker that clients start, and workers of `tests.crash.app` on it."""
    scene = CrashScene()
    yield scene
    scene.close()
