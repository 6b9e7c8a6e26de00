"""What the calls of one task share, kept once for all of its messages."""

from __future__ import annotations

from msgspec import Struct

from taskq.protocol.values import Options

IDLE = 1000  # specs that may be kept without a message


class Spec(Struct, eq=False):
    """What the calls of one task share: stored with each message, held in memory once.

    `uses` counts the live messages. `encoded` is the journal's: its encoding of the spec, made once.
    """

    queue: str
    task: str
    options: Options
    uses: int = 0
    encoded: bytes | None = None


class Specs:
    """One `Spec` for each combination of queue, task and options that messages have."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str, Options], Spec] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, queue: str, task: str, options: Options) -> Spec:
        """The one object that stands for these three."""
        key = (queue, task, options)
        spec = self._by_key.get(key)
        if spec is None:
            spec = self._by_key[key] = Spec(queue, task, options)
        return spec

    def release(self, spec: Spec) -> None:
        """A message of it is gone."""
        spec.uses -= 1
        if not spec.uses and len(self._by_key) > IDLE:
            del self._by_key[spec.queue, spec.task, spec.options]
