"""A disk that loses power: from a trace of system calls, what of them a directory would still hold.

A write counts once its file was synced, a new or removed name once its directory was. Of the rest a
disk may keep any part: writes in any order, torn at the boundaries of sectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512
CALLS = "openat,mkdir,link,rename,unlink,pwrite64,write,ftruncate,fdatasync,fsync,recvfrom,sendto"
TRACING = ("strace", "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={CALLS}")

_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (\d+)")
_PATH = re.compile(r'^(?:\d+<|(?:AT_FDCWD<[^>]*>, )?")([^">]*)[">]')
_SECOND = re.compile(r', "((?:\\x..)*)"')

Keep = Callable[[], bool]


@dataclass(frozen=True)
class Event:
    """One system call that succeeded. `data`: what was written, sent, received, or a second name."""

    call: str
    path: str
    data: bytes = b""
    number: int = 0


@dataclass
class Node:
    """A file: what is surely on the disk, and the writes since the last sync."""

    synced: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut off there

    def size(self) -> int:
        return len(self.content(lambda: True))

    def content(self, keep: Keep) -> bytes:
        """With those sectors of the pending writes for which `keep` says so."""
        found = bytearray(self.synced)
        for offset, data in self.pending:
            if data is None:
                if keep():
                    found[offset:] = bytes(max(0, offset - len(found)))
                continue
            for start, piece in _sectors(offset, data):
                if keep():
                    found.extend(bytes(max(0, start - len(found))))
                    found[start : start + len(piece)] = piece
        return bytes(found)


class Disk:
    """The files and directories below `base`, as a sequence of events has left them."""

    def __init__(self, base: Path) -> None:
        self._base = str(base)
        self._now: dict[str, Node | None] = {}  # None: a directory
        self._synced: dict[str, Node | None] = {}
        self._pending: list[tuple[str, Node | None, bool]] = []  # name, node, whether it is there

    def apply(self, event: Event) -> None:
        """Carry out one event; what is not below `base` is no concern of ours."""
        if not event.path.startswith(self._base):
            return
        node = self._now.get(event.path)
        match event.call:
            case "openat" if node is None and event.number and event.path not in self._now:
                self._name(event.path, Node())
            case "mkdir":
                self._name(event.path, None)
            case "link" | "rename":
                self._name(event.data.decode(), node)
                if event.call == "rename":
                    self._unname(event.path)
            case "unlink":
                self._unname(event.path)
            case "pwrite64" if node:
                node.pending.append((event.number, event.data))
            case "write" if node:
                node.pending.append((node.size(), event.data))
            case "ftruncate" if node:
                node.pending.append((event.number, None))
            case "fsync" | "fdatasync":
                self._sync(event.path, node)

    def after_power_loss(self, keep: Keep) -> dict[str, bytes | None]:
        """The files (and directories: `None`) by their names, with those of the pending changes for
        which `keep` says so."""
        names = dict(self._synced)
        for name, node, there in self._pending:
            if keep():
                if there:
                    names[name] = node
                else:
                    names.pop(name, None)
        return {
            name: None if node is None else node.content(keep)
            for name, node in sorted(names.items())
            if all(str(above) in names for above in self._above(name))
        }

    def _above(self, name: str) -> Iterator[Path]:
        return (above for above in Path(name).parents if str(above).startswith(f"{self._base}/"))

    def _name(self, path: str, node: Node | None) -> None:
        self._now[path] = node
        self._pending.append((path, node, True))

    def _unname(self, path: str) -> None:
        self._pending.append((path, self._now.pop(path, None), False))

    def _sync(self, path: str, node: Node | None) -> None:
        if node is not None:
            node.synced = node.content(lambda: True)
            node.pending.clear()
            return
        for name, entry, there in self._pending:
            if str(Path(name).parent) == path:
                if there:
                    self._synced[name] = entry
                else:
                    self._synced.pop(name, None)
        self._pending = [each for each in self._pending if str(Path(each[0]).parent) != path]


def put(files: dict[str, bytes | None], base: Path, target: Path) -> None:
    """Write what a power loss has left of `base` into the directory `target`."""
    for name, content in files.items():
        path = target / Path(name).relative_to(base)
        if content is None:
            path.mkdir(mode=0o700)
        else:
            path.write_bytes(content)
            path.chmod(0o600)


def part(dice: Random) -> Keep:
    """A `keep` that keeps some share of what is not synced: nothing, all, or anything between."""
    share = dice.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    return lambda: dice.random() < share


def read_trace(text: str) -> Iterator[Event]:
    """The calls of a trace that was made with `TRACING`."""
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue  # a signal, an exit, or a call that failed
        call, arguments, _ = found.groups()
        named = _PATH.match(arguments)
        second = _SECOND.search(arguments, named.end() if named else 0)
        if named is None:
            continue
        number = int(arguments.rpartition(", ")[2]) if call in ("pwrite64", "ftruncate") else 0
        if call == "openat":
            number = int("O_CREAT" in arguments)
        yield Event(call, _plain(named[1]).decode(), _plain(second[1] if second else ""), number)


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    start = offset
    while start < offset + len(data):
        end = min((start // SECTOR + 1) * SECTOR, offset + len(data))
        yield start, data[start - offset : end - offset]
        start = end
