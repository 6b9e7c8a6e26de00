"""Escapes control characters in untrusted text before it is shown on a terminal."""

from __future__ import annotations

import re

# control characters except newline and tab, Unicode line separators, marks that change the writing
# direction, and lone surrogates
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escape_controls(text: str) -> str:
    r"""Replace control characters by escapes such as `\x1b`; newlines and tabs are kept."""
    return _HARMFUL.sub(_escaped, text)


def one_line(text: str) -> str:
    """Replace unprintable characters by spaces, so that the text stays on one line."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
