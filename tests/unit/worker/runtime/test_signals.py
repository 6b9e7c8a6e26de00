"""The signals of a child while its tasks fork."""

from __future__ import annotations

import subprocess
import sys

_TWO_FORKS = """
import os, signal, sys, threading
from taskq.worker.runtime import signals
from taskq.worker.runtime.waking import Waker

first_waits, second_waits, first_is_over = (threading.Event() for _ in range(3))

def in_between():  # both threads are here at the same time; the first one forks first
    if threading.current_thread().name == "first":
        first_waits.set()
        second_waits.wait()
    else:
        second_waits.set()
        first_is_over.wait()

os.register_at_fork(before=in_between)
signals.install(lambda: None, Waker())

def fork(mask):
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    pid = os.fork()
    if not pid:
        os._exit(signal.pthread_sigmask(signal.SIG_BLOCK, ()) != mask)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask, threading.current_thread()
    assert os.waitpid(pid, 0)[1] == 0, threading.current_thread()
    first_is_over.set()

first = threading.Thread(target=fork, args=(set(),), name="first")
second = threading.Thread(target=fork, args=({signal.SIGUSR2},), name="second")
first.start()
first_waits.wait()
second.start()
first.join()
first_is_over.set()
second.join()
"""


def test_threads_that_fork_at_the_same_time_keep_their_own_masks() -> None:
    command = [sys.executable, "-W", "ignore", "-c", _TWO_FORKS]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""
