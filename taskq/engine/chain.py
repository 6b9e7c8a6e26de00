"""A linked list whose cursors stay valid while elements are added and removed."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T", bound=Any)  # with attributes `before` and `behind`, for the neighbours


class Cursor(Generic[T]):
    """A position in a chain. `at`: the next element; `None` at the end."""

    __slots__ = ("at",)

    def __init__(self, at: T | None) -> None:
        self.at = at

    def step(self) -> T | None:
        """Return the next element, or `None`, and move behind it."""
        found = self.at
        if found is not None:
            self.at = found.behind
        return found


class Chain(Generic[T]):
    """Objects linked in the order in which they came; each of them is in one chain only."""

    __slots__ = ("_cursors", "first", "last")

    def __init__(self) -> None:
        self.first: T | None = None
        self.last: T | None = None
        self._cursors: list[Cursor[T]] = []

    def append(self, item: T) -> None:
        """Add at the end."""
        last = self.last
        if last is None:
            self.first = item
        else:
            last.behind = item
            item.before = last
        self.last = item

    def remove(self, item: T) -> None:
        """Remove an element; cursors at it move to the next one."""
        before, behind = item.before, item.behind
        if self._cursors:
            for cursor in self._cursors:
                if cursor.at is item:
                    cursor.at = behind
        if before is None:
            self.first = behind
        else:
            before.behind = behind
            item.before = None
        if behind is None:
            self.last = before
        else:
            behind.before = before
            item.behind = None

    def cursor(self) -> Cursor[T]:
        """A cursor at the beginning; give it back with `release`."""
        cursor: Cursor[T] = Cursor(self.first)
        self._cursors.append(cursor)
        return cursor

    def release(self, cursor: Cursor[T]) -> None:
        """Forget a cursor."""
        if cursor in self._cursors:
            self._cursors.remove(cursor)
