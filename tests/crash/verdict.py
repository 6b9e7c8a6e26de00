"""Judges the history of a chaos run: every promise of docs/guarantees.md that it can show broken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from tests.crash.history import History, Run

IN_HAND = 128  # messages that one child may have in hand
UNSETTLED = (
    5.0  # seconds that an outcome may be on its way, with a broker that is stopped or restarted
)
BACKLOG = 2.0  # seconds in which a process that goes on begins what it had claimed before


@dataclass(frozen=True)
class Rule:
    """One promise, by name and in words, and the examples that break it."""

    name: str
    promise: str
    broken: tuple[str, ...]


def judge(history: History) -> list[Rule]:
    """Every promise, kept or broken."""
    excused, repeats = _repeats(history)
    return [
        Rule("finished", "every acknowledged message has finished", _unfinished(history)),
        Rule("own result", "every result is that of its own call", _wrong_results(history)),
        Rule("awaited", "what was awaited came, and was right", _wrong_awaits(history)),
        Rule("second group", "the second group has done all of it, too", _unaudited(history)),
        Rule("not early", "nothing begins before its time", _early(history)),
        Rule(
            "last delivery",
            "the result is the last delivery's, and that one ran",
            _stale_results(history),
        ),
        Rule("fences", "fences rise with each delivery, and none is given twice", _fences(history)),
        Rule("no repeats", "nothing runs again but for a failure, a kill or a stop", repeats),
        Rule(
            "in hand",
            "a killed or stopped child repeats no more than it had in hand",
            _too_many(excused),
        ),
        Rule("accepted", "nothing was accepted that nobody sent", _invented(history)),
    ]


def repeated(history: History) -> int:
    """How many runs there were beyond the first one of each message, but for retries."""
    return sum(_repeats(history)[0].values())


def table(rules: list[Rule]) -> str:
    """The judgement for people."""
    lines = []
    for rule in rules:
        mark = "BROKEN" if rule.broken else "kept"
        count = f" ({len(rule.broken)} times)" if rule.broken else ""
        lines.append(f"  {mark:<7} {rule.promise}{count}")
        lines += [f"          {example}" for example in rule.broken[:5]]
    return "\n".join(lines)


def _unfinished(history: History) -> tuple[str, ...]:
    def state(id: str) -> str:
        return history.endings[id].state if id in history.endings else "unknown"

    return tuple(
        f"{id} is {state(id)}"
        for id in history.acknowledged
        if state(id) != "succeeded" and not (id in history.cancelled and state(id) == "cancelled")
    )


def _wrong_awaits(history: History) -> tuple[str, ...]:
    return tuple(
        f"{id} was called with {history.acknowledged[id]}, await gave {given}"
        for id, given in history.awaited.items()
        if given != str(history.acknowledged[id])
    )


def _unaudited(history: History) -> tuple[str, ...]:
    missing = history.acknowledged.keys() - history.audited - history.cancelled
    return tuple(f"{id} never ran there" for id in sorted(missing))


def _early(history: History) -> tuple[str, ...]:
    return tuple(
        f"{id} began {due - runs[0].began:.3f} s too early"
        for id, due in history.due.items()
        if (runs := history.runs.get(id)) and runs[0].began < due
    )


def _wrong_results(history: History) -> tuple[str, ...]:
    return tuple(
        f"{id} was called with {history.acknowledged[id]}, its result is for {ending.number}"
        for id, ending in history.endings.items()
        if ending.state == "succeeded" and ending.number != history.acknowledged.get(id)
    )


def _stale_results(history: History) -> tuple[str, ...]:
    broken = []
    for id, ending in history.endings.items():
        if ending.state != "succeeded":
            continue
        runs = history.runs.get(id, [])
        fences = {run.fence for run in runs if run.ended == "ok"}
        latest = max((run.fence for run in runs), default=-1)
        if ending.fence not in fences or ending.fence != latest:
            broken.append(f"{id} has the result of {ending.fence}; {_story(runs)}")
    return tuple(broken)


def _fences(history: History) -> tuple[str, ...]:
    """A process that was stopped may begin late what was given to another one meanwhile."""
    broken = []
    for id, runs in history.runs.items():
        awake = [run for run in runs if not _is_late(run, history)]
        if len({run.fence for run in runs}) < len(runs) or any(
            before.fence >= after.fence for before, after in pairwise(awake)
        ):
            broken.append(f"{id}: {_story(runs)}")
    return tuple(broken)


def _repeats(history: History) -> tuple[Counter[int], tuple[str, ...]]:
    """The runs that were repeated because of their process, by process; and those without excuse."""
    excused: Counter[int] = Counter()
    broken = []
    for id, runs in history.runs.items():
        for run in sorted(runs, key=lambda run: run.fence)[:-1]:
            if run.ended == "failed":
                continue
            if _was_in_hand(run, history):
                excused[run.pid] += 1
            else:
                broken.append(f"{id}: {_story(runs)}")
    return excused, tuple(broken)


def _too_many(excused: Counter[int]) -> tuple[str, ...]:
    return tuple(
        f"process {pid} made {count} repeat" for pid, count in excused.items() if count > IN_HAND
    )


def _invented(history: History) -> tuple[str, ...]:
    strangers = [id for id in history.runs if id not in history.acknowledged]
    most = len(history.acknowledged) + history.lost_calls
    broken = []
    if len(strangers) > history.lost_calls:
        broken.append(f"{len(strangers)} ids ran that were not acknowledged, as {strangers[0]}")
    if not len(history.acknowledged) <= history.accepted <= most:
        broken.append(f"the broker has accepted {history.accepted}, at most {most} were sent")
    return tuple(broken)


def _was_in_hand(run: Run, history: History) -> bool:
    """Whether its process was killed or stopped before its outcome had surely arrived."""
    windows = [(at, at) for pid, at in history.killed.items() if pid in (run.pid, run.parent)]
    windows += history.stopped.get(run.pid, [])
    windows += [
        (cut.began, cut.began + UNSETTLED)  # its process was killed, as the cancellation asked for
        for id in history.cancelled
        for cut in history.runs.get(id, [])
        if not cut.ended and cut.pid == run.pid
    ]
    return any(start - UNSETTLED <= run.began <= end + BACKLOG for start, end in windows)


def _is_late(run: Run, history: History) -> bool:
    """Whether it may have begun when its process went on after a stop."""
    windows = history.stopped.get(run.pid, [])
    return any(start <= run.began <= end + BACKLOG for start, end in windows)


def _story(runs: list[Run]) -> str:
    return ", ".join(f"{run.fence} in {run.pid}: {run.ended or 'cut'}" for run in runs) or "no run"
