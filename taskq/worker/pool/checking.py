"""What `taskq worker --check` prints: the app as its workers see it."""

from __future__ import annotations

from taskq.worker.pool import notes


def show_app(note: notes.Hello, as_json: bool) -> None:
    """Print it, as text or as JSON."""
    if as_json:
        import json

        found = {"app": note.name, "broker": note.url, "queues": note.queues, "tasks": note.tasks}
        print(json.dumps(found, indent=2))
        return
    print(f"{note.name} at {note.url}")
    print("\n".join(f"  {task}" for task in note.tasks) or "  (no tasks)")
