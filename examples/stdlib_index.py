"""Index every source file of the running Python's standard library, one task a file.

In one terminal, with worker processes for as long as it runs:

    python -m examples.stdlib_index --workers 2

or with a worker in another terminal, before or after:

    python -m examples.stdlib_index
    taskq worker examples.stdlib_index:queue -c 2

Each task reads one file and counts its names with `tokenize`; the answers are merged here as they
come in. Kill a worker on the way, and start it again: the index comes out the same.
"""

from __future__ import annotations

import argparse
import keyword
import sysconfig
import tokenize
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from taskq import HandleSet, TaskQueue

queue = TaskQueue("stdlib-index")


class FileIndex(NamedTuple):
    """What one file holds. `error`: why it cannot be read; the test suite has such files."""

    path: str
    lines: int
    names: dict[str, int]
    error: str = ""


@queue.task(timeout="1m")
def index_file(path: str) -> FileIndex:
    """Count the lines and the names of one Python source file."""
    names: Counter[str] = Counter()
    lines = 0
    try:
        with tokenize.open(path) as file:
            for token in tokenize.generate_tokens(file.readline):
                lines = token.end[0]
                if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                    names[token.string] += 1
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError) as error:
        return FileIndex(path, lines, dict(names), f"{type(error).__name__}: {error}")
    return FileIndex(path, lines, dict(names))


def sources() -> list[str]:
    """The paths of the standard library's source files, without installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    installed = {"site-packages", "dist-packages"}
    return sorted(str(path) for path in root.rglob("*.py") if not installed & set(path.parts))


def merge(handles: HandleSet[FileIndex]) -> tuple[list[FileIndex], Counter[str]]:
    """Wait for all files, with a progress bar in a terminal, and add their names up."""
    files = handles.results(progress=True)
    names: Counter[str] = Counter()
    for file in files:
        names.update(file.names)
    return files, names


def report(files: list[FileIndex], names: Counter[str], top: int) -> None:
    """Print the most common names and the biggest modules."""
    print(f"{len(files):,} files, {sum(file.lines for file in files):,} lines")
    print(f"{sum(names.values()):,} names, {len(names):,} different ones")
    print("most common names:")
    for name, count in names.most_common(top):
        print(f"  {count:>9,}  {name}")
    print("biggest modules:")
    root = sysconfig.get_path("stdlib")
    for file in sorted(files, key=lambda each: -each.lines)[:top]:
        print(f"  {file.lines:>9,}  {Path(file.path).relative_to(root)}")
    broken = sum(bool(file.error) for file in files)
    print(f"not readable as Python: {broken}")


def main() -> None:
    """Enqueue all files, wait, report."""
    parser = argparse.ArgumentParser(description="Index the standard library.")
    parser.add_argument("--workers", type=int, default=0, help="start so many; default: none")
    parser.add_argument("--limit", type=int, help="only so many files")
    parser.add_argument("--top", type=int, default=10, help="lines of each list")
    options = parser.parse_args()
    handles = index_file.map(sources()[: options.limit])
    with queue.workers(options.workers) if options.workers else nullcontext():
        report(*merge(handles), options.top)


if __name__ == "__main__":
    main()
