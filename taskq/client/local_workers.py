"""`queue.workers(n)`: worker processes for the length of a `with` block."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from taskq import names
from taskq.errors import TaskqError
from taskq.options.durations import seconds

if TYPE_CHECKING:
    import subprocess

    from taskq.application import Application

START = 60.0  # seconds within which the workers have to be ready
QUIET = 0.5  # seconds that the end may take after Ctrl-C before it is explained
GRACE = 5.0  # seconds beyond the shutdown timeout, before they are killed


_running: set[LocalWorkers] = set()  # the caller of `start` need not keep what it returned

_known: dict[LocalWorkers, frozenset[str]] = {}  # of the workers that run, tasks at their start


def is_defined_late(task: str) -> bool:
    """Whether workers that this program has started run now, and the task was defined after that."""
    return any(task in own.tasks and task not in known for own, known in list(_known.items()))


class LocalWorkers(AbstractContextManager["LocalWorkers"]):
    """See `TaskQueue.workers`."""

    def __init__(
        self, app: Application, n: int, *, shutdown_timeout: float, log_level: str
    ) -> None:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"the number of workers must be a whole number ≥ 1, not {n!r}")
        self._app = app
        self._n = n
        self._shutdown = seconds("shutdown_timeout", shutdown_timeout)
        self._log_level = log_level
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None  # when it closes, the workers end
        self._threads: AbstractContextManager[object] | None = None
        self._pid = 0  # of the process that started them

    @property
    def tasks(self) -> Collection[str]:
        """Names of the tasks that the app has now."""
        return self._app.tasks

    @property
    def pid(self) -> int | None:
        """Process id of the launcher; `None` outside of the block, and with threads."""
        return None if self._process is None else self._process.pid

    def start(self) -> LocalWorkers:
        """Start the workers, where no `with` block is at hand: in a notebook, for instance.

        Returns:
            This object. The workers end with `stop`, or with this process.

        Raises:
            RuntimeError: they run already.
            TaskqError: they could not start.
        """
        if self._process is not None or self._threads is not None:
            raise RuntimeError("these workers run already; stop() ends them")
        self._begin()
        self._pid = os.getpid()
        _running.add(self)
        return self

    def stop(self) -> None:
        """Let the workers finish what they run, for at most the shutdown timeout. Again: nothing."""
        self.__exit__(None, None, None)

    def stop_at_exit(self) -> None:
        """End worker threads of this process; worker processes notice its end by themselves."""
        if self._threads is not None and self._pid == os.getpid():
            self.stop()

    def __enter__(self) -> LocalWorkers:
        return self.start()

    def _begin(self) -> None:
        if self._app.is_in_process():
            import importlib

            for module in self._app.include:
                importlib.import_module(module)
            from taskq.worker.runtime import inline

            threads: AbstractContextManager[object] = inline.run_threads(
                self._app, self._n, shutdown_timeout=self._shutdown
            )
            threads.__enter__()
            self._threads = threads
        else:
            self._start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _running.discard(self)
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.__exit__(kind, error, traceback)
        self._end(is_interrupted=isinstance(error, KeyboardInterrupt))

    # --- processes --------------------------------------------------------------------------

    def _start(self) -> None:
        import subprocess

        _known[self] = frozenset(self._app.tasks)
        readable, writable = os.pipe()
        theirs, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                self._command(writable, theirs),
                env=self._environment(),
                pass_fds=(writable, theirs),
                stdin=subprocess.DEVNULL,
                process_group=0,  # ^C is for us; we then ask them once to finish
            )
            os.close(writable)
            writable = -1
            answer = read_line(readable, monotonic() + START)
        except BaseException:
            self._kill()
            raise
        finally:
            os.close(readable)
            os.close(theirs)
            if writable >= 0:
                os.close(writable)
        if answer != "ready":
            self._kill()
            reason = answer.removeprefix("error:").strip()
            raise TaskqError(
                f"the workers could not start: {reason or 'see what they wrote to stderr'}"
            )

    def _command(self, ready_fd: int, owner_fd: int) -> list[str]:
        import msgspec

        from taskq.worker.settings import WorkerSettings

        app = self._app
        queues = dict.fromkeys([app.name, *(task.queue for task in app.tasks.values())])
        spec = self._spec()
        # its own module, too: it is known to go on below the block
        modules = [] if spec is None else [spec.partition(":")[0], *self._modules()]
        settings = WorkerSettings(
            app=spec,
            include=tuple(dict.fromkeys(modules)),
            broker=app.broker.url,
            queues=tuple((name, 1) for name in queues),
            concurrency=self._n,
            log_level=self._log_level,
            shutdown_timeout=self._shutdown,
            ready_fd=ready_fd,
            owner_fd=owner_fd,
        )
        return [sys.executable, "-m", "taskq.worker", msgspec.json.encode(settings).decode()]

    def _spec(self) -> str | None:
        """What the workers import: the app, or for the default queue a module that uses it."""
        return self._app.locate() or next(iter(self._modules()), None)

    def _modules(self) -> list[str]:
        """The importable modules that hold tasks of the app; none if the app itself is in none."""
        if not self._app.is_importable():
            return []
        found = [names.module_of(task.fn) for task in self._app.tasks.values()]
        return [module for module in dict.fromkeys(found) if module is not None]

    def _environment(self) -> dict[str, str]:
        """The environment of the workers: they import from where this process imports."""
        environment = dict(os.environ)
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        own = [os.path.abspath(path) for path in sys.path if not is_standard(path)]
        given = environment.get("PYTHONPATH", "").split(os.pathsep)
        paths = dict.fromkeys([*own, package, *filter(None, given)])
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        return environment

    def _end(self, is_interrupted: bool) -> None:
        """Let the workers finish; kill those that do not."""
        import subprocess

        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            self._wait(process, is_interrupted)
        except subprocess.TimeoutExpired:
            pass
        except KeyboardInterrupt:
            process.terminate()  # the second time: they hand back what they run
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            raise
        finally:
            self._kill()

    def _wait(self, process: subprocess.Popen[bytes], is_interrupted: bool) -> None:
        import subprocess

        if is_interrupted:
            with suppress(subprocess.TimeoutExpired):
                process.wait(QUIET)
                return
            print(
                f"the workers finish what they run, for at most {self._shutdown:g} s; "
                "press Ctrl-C again to end them now",
                file=sys.stderr,
                flush=True,
            )
        process.wait(self._shutdown + GRACE)

    def _kill(self) -> None:
        _known.pop(self, None)
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            os.close(lifeline)


@atexit.register
def _stop_threads() -> None:
    # the interpreter stops daemon threads wherever they are: one may hold the broker's lock, and
    # the workers would wait for it when they are collected
    for workers in list(_running):
        workers.stop_at_exit()


def is_standard(path: str) -> bool:
    """Whether a new interpreter has that path by itself; not all that lies below its prefix."""
    import site

    libraries = [os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)]
    return bool(path) and path.startswith((*libraries, *site.getsitepackages()))


def read_line(descriptor: int, deadline: float) -> str:
    """One line from a pipe, or what came before its end."""
    import select

    poll = select.poll()  # not select, which takes no descriptor beyond 1023
    poll.register(descriptor, select.POLLIN)
    data = b""
    while not data.endswith(b"\n"):
        if not poll.poll(max(deadline - monotonic(), 0.0) * 1000):
            return f"they were not ready within {START:.0f} s"
        chunk = os.read(descriptor, 4096)
        if not chunk:
            break
        data += chunk
    return data.decode(errors="replace").strip()
