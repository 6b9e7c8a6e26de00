"""Lets a program print the large ints that its own workers computed.

CPython refuses to turn an int of more than 4,300 digits into text, so that a text from a stranger
cannot keep it busy for minutes (gh-95778). A result is no stranger's: it is signed. The limit is
raised to what the result needs, and no further.
"""

from __future__ import annotations

import sys

DIGITS_PER_BIT = 0.30103  # log10(2)


def allow(value: int) -> None:
    """Raise the limit of this process so that `str(value)` works."""
    limit = sys.get_int_max_str_digits()
    needed = int(value.bit_length() * DIGITS_PER_BIT) + 1
    if 0 < limit < needed:
        sys.set_int_max_str_digits(needed)
