"""The demo itself: one act after the other on a real broker and real workers."""

from __future__ import annotations

import os
import signal
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskq import HandleSet, ResultHandle
from taskq.cli.support.output import duration
from taskq.cli.support.processes import stop
from taskq.demo import diary, tasks
from taskq.demo.mail import MailSink
from taskq.demo.verdict import Verdict
from taskq.protocol.operating import Ping

LIMIT = 100.0  # seconds after which an act has failed
FIB = 100_000
FIB_ENDS_IN = 746_875
NAP = 30.0  # seconds that the long job would take if nobody killed it
NOT_INDEXED = {"site-packages", "dist-packages", "test", "tests", "idle_test"}

FORMS = [
    {"name": "Ada", "email": "ada@example.org", "message": "Does it run the Bernoulli numbers?"},
    {"name": "Grace", "email": "grace@example.org", "message": "I found a moth in relay 70."},
    {"name": "Bot", "email": "bot@example.org", "message": "FREE MONEY at the casino"},
    {"name": "Zoë", "email": "zoe@example.org", "message": "Grüße, and a line with\n.a dot first"},
    {"name": "Bot", "email": "bot@example.org", "message": "http://a.example http://b.example"},
]


@dataclass
class Story:
    """One run of the demo.

    Args:
        directory: an empty directory; the broker's, the diary and the mbox are made in it.
        say: called with what happens, as it happens.
        workers: number of worker processes.
        log_level: of the workers.
    """

    directory: Path
    say: Callable[[str], None]
    workers: int = 2
    log_level: str = "critical"
    verdict: Verdict = field(default_factory=Verdict)
    numbers: dict[str, int] = field(default_factory=dict)
    handles: list[ResultHandle[Any]] = field(default_factory=list)

    def run(self) -> None:
        """Play all acts and fill the verdict. Raises `TimeoutError` if an act hangs."""
        os.environ[diary.VARIABLE] = str(self.directory / "diary")
        tasks.queue.use_broker(f"embedded:{self.directory / 'broker'}")
        try:
            with self._broker(), MailSink(self.directory / "mbox") as sink:
                with tasks.queue.workers(self.workers, log_level=self.log_level) as pool:
                    self.say(f"workers: {self.workers} processes under launcher pid {pool.pid}")
                    self._acts(sink)
                self._look_back()
        finally:
            tasks.queue.close()
            del os.environ[diary.VARIABLE]

    def _acts(self, sink: MailSink) -> None:
        number = self._keep(tasks.fib(FIB))
        forms = self._keep_all(tasks.answer_form.starmap((form, sink.port) for form in FORMS))
        victim = self._keep(tasks.long_job(NAP))
        paths = stdlib_files()
        files = self._keep_all(tasks.index.map(paths))
        self.say(
            f"enqueued: fib({FIB:,}), {len(forms)} contact forms, {len(files):,} files to index"
        )
        self._fib(number)
        self._forms(forms, sink)
        self._crash(victim)
        self._flaky()
        self._dead_letter()
        self._index(files, paths)

    # --- the acts -------------------------------------------------------------------------------

    def _fib(self, handle: ResultHandle[int]) -> None:
        tail = handle.result(LIMIT) % 1_000_000
        self.say(f"fib: the answer ends in {tail}")
        self.verdict.equal(f"fib({FIB:,}) ends in", str(tail), str(FIB_ENDS_IN))

    def _forms(self, handles: HandleSet[str], sink: MailSink) -> None:
        ends = Counter(handles.results(LIMIT))
        subjects = sorted(sink.subjects())
        self.say(f"contact form: {ends['sent']} mails sent, {ends['spam']} found to be spam")
        expected = sorted(f"Message from {name}" for name in ("Ada", "Grace", "Zoë"))
        self.verdict.equal("mails in the mbox", len(subjects), len(expected))
        self.verdict.equal("mails to the right people", subjects == expected, True)

    def _crash(self, handle: ResultHandle[tuple[int, int]]) -> None:
        pid = self._started(handle.id)
        time.sleep(0.3)  # in mid-task, not at its edge
        os.kill(pid, signal.SIGKILL)
        self.say(f"crash: killed worker process {pid} with SIGKILL in mid-task")
        attempt, second = handle.result(LIMIT)
        self.say(f"crash: the task was delivered again and finished in process {second}")
        self.verdict.equal("attempts of the killed task", attempt, 2)
        self.verdict.equal("finished in another process", second != pid, True)

    def _started(self, id: str) -> int:
        """The process that has begun that call."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            for entry in diary.read(self.directory / "diary"):
                if entry.id == id and entry.event == "start":
                    return entry.pid
            time.sleep(0.02)
        raise TimeoutError("no worker has begun the long job")

    def _flaky(self) -> None:
        attempt = self._keep(tasks.flaky()).result(LIMIT)
        self.say(f"retry: a task failed twice and succeeded in attempt {attempt}")
        self.verdict.equal("attempts of the flaky task", attempt, 3)

    def _dead_letter(self) -> None:
        path = self.directory / "needed"
        handle = self._keep(tasks.needs_file(str(path)))
        error = handle.exception(LIMIT)
        letters = tasks.queue.dlq.list()
        self.say(f"dead letter: given up after 2 attempts with {type(error).__name__}")
        self.verdict.equal("dead letters", len(letters), 1)
        path.write_text("found")
        tasks.queue.dlq.replay(handle.id)
        answer = tasks.queue.handle(handle.id).result(LIMIT)
        self.say("dead letter: cause mended, replayed, succeeded")
        self.numbers["dead, then replayed"] = len(letters)
        self.verdict.equal("the replayed call returned", answer, "found")

    def _index(self, handles: HandleSet[tuple[int, dict[str, int]]], paths: list[str]) -> None:
        names: Counter[str] = Counter()
        lines: dict[str, int] = {}
        of = {handle.id: path for handle, path in zip(handles, paths, strict=True)}
        shown = 0
        for count, handle in enumerate(handles.as_completed(LIMIT), 1):
            length, found = handle.result()
            lines[of[handle.id]] = length
            names.update(found)
            if count * 4 // len(handles) > shown:
                shown = count * 4 // len(handles)
                self.say(f"index: {count:,} of {len(handles):,} files")
        biggest = max(lines, key=lambda path: lines[path])
        top = ", ".join(f"{name} ({count:,})" for name, count in names.most_common(4))
        self.say(f"index: {sum(lines.values()):,} lines; most frequent names: {top}")
        self.say(f"index: the biggest file is {Path(biggest).name}, {lines[biggest]:,} lines")
        self.verdict.equal("files indexed", len(lines), len(paths))
        self.verdict.equal("self is among the names", "self" in names, True)

    # --- the end --------------------------------------------------------------------------------

    def _look_back(self) -> None:
        """Compare what was enqueued, what the broker counted, and what the tasks wrote down."""
        ids = {handle.id for handle in self.handles}
        stats = tasks.queue.stats()
        (counts,) = [each for each in stats.queues if each.queue == tasks.queue.name]
        account = diary.account(diary.read(self.directory / "diary"))
        lost = len(ids - account.finished)
        self.numbers |= {
            "enqueued": len(ids),
            "succeeded": counts.succeeded,
            "redelivered": account.redelivered,
            "retried": account.retried,
            "duplicates": account.duplicates,
            "lost": lost,
        }
        check = self.verdict
        check.equal("enqueued, as the broker counts", stats.broker.acknowledged, len(ids))
        check.equal("succeeded", counts.succeeded, len(ids))
        check.at_least("redelivered after the kill", account.redelivered, 1)
        check.equal("retried after a failure", account.retried, 3)
        check.equal("dead, then replayed", self.numbers["dead, then replayed"], 1)
        check.equal("still in the broker", stats.broker.messages, 0)
        check.at_most("duplicates (one a redelivery)", account.duplicates, account.redelivered)
        check.equal("lost", lost, 0)

    # --- the ground -----------------------------------------------------------------------------

    @contextmanager
    def _broker(self) -> Iterator[None]:
        """The embedded broker; it starts with the first request and is stopped at the end."""
        began = time.monotonic()
        pong = tasks.queue.broker.call(Ping())
        took = duration(time.monotonic() - began)
        self.say(
            f"broker: started by itself in {took}, pid {pong.pid}, durability {pong.durability.kind}"
        )
        try:
            yield
        finally:
            tasks.queue.close()
            assert pong.pid is not None
            stop(pong.pid)

    def _keep(self, handle: ResultHandle[Any]) -> ResultHandle[Any]:
        self.handles.append(handle)
        return handle

    def _keep_all(self, handles: HandleSet[Any]) -> HandleSet[Any]:
        self.handles.extend(handles)
        return handles


def stdlib_files() -> list[str]:
    """Every source file of the running Python's standard library, without its tests."""
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(
        str(path)
        for path in root.rglob("*.py")
        if not NOT_INDEXED & set(path.relative_to(root).parts)
    )
