"""All durable subjects. A new one is a module with its `SUBJECT`, and a line in this list.

They are restored in this order: what refers to others comes after them.
"""

from __future__ import annotations

from taskq.journal import groups, marks, messages, results, states
from taskq.journal.subject import Subject

SUBJECTS: tuple[Subject, ...] = (
    marks.SUBJECT,
    groups.SUBJECT,
    results.SUBJECT,
    messages.SUBJECT,
    states.SUBJECT,
)
