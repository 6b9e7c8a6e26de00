"""Shuts down the broker of a directory, from any process of the same user."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

from taskq.errors import BrokerTimeout, BrokerUnavailable
from taskq.transport.lock import holder_of

_LOOK_AGAIN = 0.02  # seconds between two looks, where the kernel cannot wake us


def stop_broker(directory: Path, timeout: float = 30.0) -> int:
    """Shut down the broker of `directory`: it finishes its tick and closes its journal.

    Its clients look for it, so one that is connected starts an embedded broker again.

    Args:
        directory: of the broker; it may be embedded, or run by `taskq broker`.
        timeout: seconds for it to end.

    Returns:
        The process id of the broker that has ended; 0 if none was running.

    Raises:
        BrokerTimeout: it has not ended in time; it still will, once it comes to it.
        BrokerUnavailable: it lives in another container, or belongs to another user.
    """
    deadline = time.monotonic() + timeout
    holder = holder_of(directory)
    if holder is None:
        return 0
    if not holder.pid:
        raise BrokerUnavailable(
            f"the broker of {directory} runs in another container; stop it from there"
        )
    process = _Process(holder.pid)
    try:
        # asked again: now that the process is held on to, its number cannot be somebody else's
        now = holder_of(directory)
        if now is None or now.pid != holder.pid:
            return stop_broker(directory, max(deadline - time.monotonic(), 0.0))
        process.terminate(directory)
        if not process.wait(deadline, directory):
            raise BrokerTimeout(
                f"the broker of {directory} (pid {holder.pid}) has not ended within "
                f"{timeout:.3g} s; if it is stopped or stuck: kill -CONT {holder.pid}, or "
                f"kill -KILL {holder.pid}, which loses nothing that was acknowledged"
            )
    finally:
        process.close()
    return holder.pid


class _Process:
    """A process to be ended. Linux holds on to it by a descriptor, other systems by its number."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._fd = -1
        if hasattr(os, "pidfd_open"):
            try:
                self._fd = os.pidfd_open(pid)
            except OSError:  # gone since, or the kernel is older than 5.3
                self._fd = -1

    def terminate(self, directory: Path) -> None:
        """Send SIGTERM, unless it has ended."""
        try:
            if self._fd >= 0:
                signal.pidfd_send_signal(self._fd, signal.SIGTERM)
            else:
                os.kill(self._pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        except PermissionError:
            raise BrokerUnavailable(
                f"the broker of {directory} (pid {self._pid}) belongs to another user; "
                "stop it as that one"
            ) from None

    def wait(self, deadline: float, directory: Path) -> bool:
        """Wait for its end until then, by `time.monotonic`; whether it has ended."""
        if self._fd >= 0:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            return bool(poll.poll(max(deadline - time.monotonic(), 0.0) * 1000))
        while (holder := holder_of(directory)) is not None and holder.pid == self._pid:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_AGAIN)
        return True

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
