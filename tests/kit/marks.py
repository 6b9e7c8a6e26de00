"""Marks: which tests run where, and which ones only in the long run."""

from __future__ import annotations

import os
import sys

import pytest

LONG = os.environ.get("TASKQ_TESTS") == "long"
long_only = pytest.mark.skipif(not LONG, reason="takes long: run with TASKQ_TESTS=long")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
