"""Texts that must not control a terminal."""

from __future__ import annotations

from taskq.texts import escape_controls


def test_control_characters_become_escapes() -> None:
    assert escape_controls("\x1b[2J \r \x9b1m \x00 \u202e \ud800") == (
        r"\x1b[2J \r \x9b1m \x00 \u202e \ud800"
    )


def test_what_people_write_stays() -> None:
    text = "one\n\ttwo: échec\u00a0!  日本  \U0001f469\u200d\U0001f680"
    assert escape_controls(text) == text
