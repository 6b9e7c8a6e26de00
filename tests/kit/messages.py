"""What a message must name: options, values, paths and commands, wherever its sentence has them."""

from __future__ import annotations

import re


def naming(*tokens: object) -> str:
    """A pattern for `match=`: a text that has every token, as whole words and in any order."""
    return "(?s)" + "".join(f"(?=.*{_whole(str(token))})" for token in tokens)


def missing(text: str, *tokens: object) -> list[str]:
    """The tokens that `text` does not have; empty if it names all of them."""
    return [str(token) for token in tokens if not re.search(_whole(str(token)), text)]


def _whole(token: str) -> str:
    """The token as a pattern: `5` is not found in `15`, nor `add` in `address`."""
    before = r"(?<!\w)" if token[0].isalnum() else ""
    after = r"(?!\w)" if token[-1].isalnum() else ""
    return f"{before}{re.escape(token)}{after}"
