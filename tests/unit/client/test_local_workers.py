"""What `queue.workers()` does besides starting processes."""

from __future__ import annotations

import os
import resource
import site
import sys
from time import monotonic

import pytest

from taskq.client.local_workers import is_standard, read_line


def test_it_reads_from_a_descriptor_beyond_1023() -> None:
    readable, writable = os.pipe()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("no descriptors beyond 1023 here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    try:
        os.dup2(readable, 1100)
        os.write(writable, b"ready\n")
        assert read_line(1100, monotonic() + 10) == "ready"
    finally:
        for fd in (readable, writable, 1100):
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_workers_import_from_a_project_inside_of_the_environment() -> None:
    assert not is_standard(os.path.join(sys.prefix, "src", "app"))
    assert all(map(is_standard, site.getsitepackages()))
    assert is_standard(os.path.dirname(os.__file__))
