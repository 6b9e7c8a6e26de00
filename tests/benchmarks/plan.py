"""What a run consists of: which contender plays what, with how much, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.catalogue import BASELINES, SCENARIOS, Scenario
from tests.benchmarks.contenders import CONTENDERS, OURS, PEERS, Contender

LEAST = 50  # messages, however slow a contender is
STOCK_REPEATS = 3  # of the peers' stock settings: they are slow


@dataclass(frozen=True)
class Cell:
    """One scenario of one contender in one column, with the number of its messages."""

    scenario: Scenario
    contender: str
    column: str
    durability: str
    ack: str
    count: int

    def is_due(self, turn: int) -> bool:
        """Whether that round, counted from 0, has this cell."""
        if self.column == "stock" and CONTENDERS[self.contender].store and turn >= STOCK_REPEATS:
            return False
        return self.scenario.repeats is None or turn < self.scenario.repeats


def cells(only: Iterable[str], peers: Iterable[str], quick: bool) -> list[Cell]:
    """The cells of one repeat, in their order: a scenario's contenders stand side by side.

    Args:
        only: names of scenarios; empty means all.
        peers: names of contenders; empty means all.
        quick: smaller counts, and of the peers the tuned column only.

    Raises:
        ValueError: an unknown name.
    """
    wanted, chosen = list(only), list(peers)
    _refuse_unknown("scenario", wanted, SCENARIOS)
    _refuse_unknown("contender", chosen, CONTENDERS)
    return [
        cell
        for scenario in SCENARIOS.values()
        if (scenario.name in wanted if wanted else _is_due(scenario, quick))
        for cell in _cells_of(scenario, chosen, quick)
    ]


def _is_due(scenario: Scenario, quick: bool) -> bool:
    """Whether a run that names no scenarios has it."""
    return not scenario.on_request and bool(scenario.quick or not quick)


def _refuse_unknown(kind: str, names: list[str], known: dict[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {kind} {name!r}; there are {', '.join(known)}")


def _cells_of(scenario: Scenario, chosen: list[str], quick: bool) -> Iterator[Cell]:
    count = (quick and scenario.quick) or scenario.full
    if scenario.who == "baseline":
        for name in BASELINES:
            yield Cell(scenario, name, "", "", "", count)
        return
    for contender in (OURS, *PEERS) if scenario.who == "all" else (OURS,):
        if chosen and contender.name not in chosen:
            continue
        for column in contender.columns:
            if _plays(scenario, contender, column.name, quick):
                yield Cell(
                    scenario,
                    contender.name,
                    column.name,
                    column.durability,
                    contender.ack,
                    _count_of(scenario, contender, column.name, count),
                )


def _count_of(scenario: Scenario, contender: Contender, column: str, count: int) -> int:
    if scenario.scaled:
        count = max(int(count * contender.share_of(column)), min(LEAST, count))
    if scenario.name == "round-trip" and column == "stock" and contender.store:
        return min(count, LEAST)  # stock settings look for a result every 50 to 200 ms
    return count


def _plays(scenario: Scenario, contender: Contender, column: str, quick: bool) -> bool:
    if scenario.columns and column not in scenario.columns:
        return False
    if scenario.contenders and contender.name not in scenario.contenders:
        return False
    if contender is OURS or contender.store == "":
        # a pool's stock column is `submit`, which the goals name; the other scenarios have one way
        return contender is OURS or column == "stock" or scenario.name == "drain"
    return column == "tuned" or (not quick and scenario.name in ("drain", "round-trip"))
