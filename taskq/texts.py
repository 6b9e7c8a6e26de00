"""Texts of somebody else's, shown to people: nothing in them shall command the terminal."""

from __future__ import annotations

import re

# control characters but newline and tab, line breaks that are none to a terminal, signs that turn
# the direction of writing round, and halves of surrogate pairs
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def harmless(text: str) -> str:
    r"""The text with control characters as escapes, like `\x1b`; newlines and tabs stay."""
    return _HARMFUL.sub(_escaped, text)


def one_line(text: str) -> str:
    """The text with a space for whatever cannot be printed, so that it begins no line of its own."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
