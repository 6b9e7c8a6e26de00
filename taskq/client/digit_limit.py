"""Lets a program print the large ints that its own workers computed.

CPython refuses to turn an int of more than 4,300 digits into text, so that input from outside
cannot keep it busy for minutes (gh-95778). A result is not from outside: it is signed. The limit is
raised to what the result needs, and no further; one that the user has set is left alone.
"""

from __future__ import annotations

import sys

DIGITS_PER_BIT = 0.30103  # log10(2)

set_by_us = sys.int_info.default_max_str_digits  # the interpreter's default, or what was set here


def raise_digit_limit(value: int) -> None:
    """Raise the limit of this process so that `str(value)` works, unless it is the user's own."""
    global set_by_us
    needed = int(value.bit_length() * DIGITS_PER_BIT) + 1
    if sys.get_int_max_str_digits() == set_by_us < needed:
        sys.set_int_max_str_digits(needed)
        set_by_us = needed
