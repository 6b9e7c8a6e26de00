"""Deaths: which deliveries count as lost with their worker. Predicted, and compared with the engine."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from taskq.engine.engine import Engine
from tests.property.model import Model

Holder = tuple[str, str]  # worker and consumer


class Held(NamedTuple):
    """One lease. `first`: it is the oldest one of its consumer."""

    receipt: int
    group: str
    holder: Holder
    first: bool


def held(engine: Engine) -> list[Held]:
    """All leases."""
    leases = sorted(
        ((lease.consumer.worker.name, lease.consumer.name), receipt, lease.group.name)
        for receipt, lease in engine.ledger.leases.items()
        if lease.consumer is not None
    )
    return [
        Held(receipt, group, holder, first=position == 0)
        for holder, mine in groupby(leases, key=lambda each: each[0])
        for position, (_, receipt, group) in enumerate(mine)
    ]


class Deaths:
    """What is known of the beginnings of deliveries, and what follows when their worker is lost."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._began: dict[Holder, int] = {}

    def began(self, holder: Holder, receipt: int) -> None:
        """A consumer has said that it begins that delivery."""
        self._began[holder] = max(self._began.get(holder, 0), receipt)

    def lapsed(self, lease: Held) -> None:
        """5: the worker was not heard in time. What may not have begun costs nothing."""
        message = self._model.owners[lease.receipt]
        copy = message.copies[lease.group]
        begun = lease.receipt <= self._began.get(lease.holder, 0)
        if begun or (lease.first and not message.must_announce(copy)):
            copy.deaths += 1
        else:
            copy.suspect = True

    def died(self, receipt: int, group: str) -> None:
        """5: the worker says that it was running."""
        self._model.owners[receipt].copies[group].deaths += 1

    def restarted(self, engine: Engine) -> None:
        """The broker has forgotten what had begun: the first of each consumer counts as begun."""
        self._began = {lease.holder: lease.receipt for lease in held(engine) if lease.first}
        for message in self._model.messages.values():
            for copy in message.copies.values():
                copy.suspect = False
