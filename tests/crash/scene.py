"""The scene of the crash tests: it knows what was executed."""

from __future__ import annotations

from collections import Counter

from tests.crash import app
from tests.kit.scene import Scene
from tests.kit.worker import WorkerProcess


class CrashScene(Scene):
    """A scene of `tests.crash.app`."""

    def __init__(self) -> None:
        super().__init__(app)
        self.environment[app.LOG] = self.path("executions")

    def registered_worker(self, children: int = 2) -> WorkerProcess:
        """A worker whose children are all registered."""
        worker = self.worker("-c", str(children))
        self.wait_for_consumers(worker, children)
        return worker

    def executions(self) -> Counter[int]:
        """How often each argument was run, as the tasks themselves have noted."""
        return Counter(map(int, self.lines("executions")))
