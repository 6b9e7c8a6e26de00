"""Draws the records as an SVG bar chart, written by hand: no library needs to be there."""

from __future__ import annotations

from html import escape

from tests.benchmarks.catalogue import SCENARIOS
from tests.benchmarks.records import Record, Records
from tests.benchmarks.report import figure, title_of

SHOWN = ("drain", "enqueue", "round-trip")
WIDTH, LABEL, VALUE = 760, 250, 110  # pixels: all, the names at the left, the figures at the right
BAR, GAP, HEAD = 16, 5, 34
COLOURS = {"fsync": "#0b6e4f", "survives kill": "#3a9d7c", "none": "#9ad1bc"}
GREYS = {"fsync": "#4a4a4a", "survives kill": "#808080", "none": "#b8b8b8"}


def draw(records: Records) -> str:
    """The chart of the scenarios that matter most. Dark means that more survives."""
    y = 10
    parts: list[str] = []
    for name in SHOWN:
        rows = [row for row in records.of(name) if row.median and not _is_chunked(row)]
        if rows:
            panel, y = _panel(name, rows, y)
            parts += panel
    parts.append(_legend(y))
    return _document(y + 44, parts)


def _is_chunked(row: Record) -> bool:
    """Chunks of a pool: many calls travel as one, which the others do not do."""
    return row.contender in ("executor", "pool") and row.column == "tuned"


def _panel(scenario: str, rows: list[Record], y: int) -> tuple[list[str], int]:
    lower = SCENARIOS[scenario].lower_is_better
    rows = sorted(rows, key=lambda row: row.median or 0.0, reverse=not lower)
    longest = max(row.median or 0.0 for row in rows)
    better = "less is better" if lower else "more is better"
    title = f"{SCENARIOS[scenario].title}, {SCENARIOS[scenario].unit} ({better})"
    parts = [f'<text x="10" y="{y + 18}" class="head">{escape(title)}</text>']
    y += HEAD
    for row in rows:
        median = row.median or 0.0
        length = max(1.0, median / longest * (WIDTH - LABEL - VALUE))
        colours = COLOURS if row.contender == "taskq" else GREYS
        weight = ' font-weight="bold"' if row.contender == "taskq" else ""
        parts += [
            f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end"{weight}>'
            f"{escape(title_of(row))}</text>",
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" '
            f'fill="{colours[row.durability]}"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{y + 12}">{figure(median)}</text>',
        ]
        y += BAR + GAP
    return parts, y + 14


def _legend(y: int) -> str:
    x, parts = 10, []
    for name, text in (
        ("fsync", "survives power loss"),
        ("survives kill", "survives any kill"),
        ("none", "nothing survives"),
    ):
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{COLOURS[name]}"/>')
        parts.append(f'<rect x="{x + 14}" y="{y}" width="12" height="12" fill="{GREYS[name]}"/>')
        parts.append(f'<text x="{x + 32}" y="{y + 11}">{text}</text>')
        x += 180
    parts.append(f'<text x="{x}" y="{y + 11}">green: taskq, grey: peers</text>')
    return "\n".join(parts)


def _document(height: int, parts: list[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="taskq and its peers">\n'
        "<style>text { font: 12px sans-serif; fill: #222 } "
        ".head { font-weight: bold; font-size: 14px }</style>\n"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )
