"""Ends a process that a task has forked and that came out of the task."""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn


def end_copy(error: BaseException | None) -> NoReturn:
    """End this process as a program would that ends with that exception."""
    code = 0
    try:
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            code = 1
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)
