"""Notes from a child to its launcher."""

from __future__ import annotations

import socket

from taskq.worker.pool import notes


def test_notes_arrive_whole_however_they_are_cut() -> None:
    sent: list[notes.Note] = [
        notes.Hello("q", "memory:", ["a", "b"], ["app.f"]),
        notes.Unusable("no", 'Traceback:\n  "x"\n'),
        notes.Unreachable("gone"),
        notes.Armed(),
        notes.Drained(),
    ]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for note in sent:
            notes.send(theirs, note)
        data = ours.recv(65536)
    reader = notes.NoteReader()
    got = [note for place in range(len(data)) for note in reader.feed(data[place : place + 1])]
    assert got == sent


def test_a_launcher_that_is_gone_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        notes.send(theirs, notes.Armed())
