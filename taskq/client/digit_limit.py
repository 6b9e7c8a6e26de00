"""Lets a program print the large ints that its own workers computed.

CPython refuses to turn an int of more than 4,300 digits into text, so that input from outside
cannot keep it busy for minutes (gh-95778). A result is not from outside: it is signed. The limit is
raised to what the result needs, and no further; one that the user has set is left alone.
"""

from __future__ import annotations

import sys

DIGITS_PER_BIT = 0.30103  # log10(2)

# the interpreter's default, and what was set here
set_by_us: set[int] = {sys.int_info.default_max_str_digits}


def raise_digit_limit(value: int) -> None:
    """Raise the limit of this process so that `str(value)` works, unless it is the user's own."""
    needed = int(value.bit_length() * DIGITS_PER_BIT) + 1
    limit = sys.get_int_max_str_digits()
    if limit not in set_by_us or limit >= needed:
        return
    set_by_us.add(needed)
    # without a lock: of several threads, and of a signal handler that comes in, the last one to
    # look sets what the largest result needs
    while (limit := sys.get_int_max_str_digits()) in set_by_us and limit < max(set_by_us):
        sys.set_int_max_str_digits(max(set_by_us))
