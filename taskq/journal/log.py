"""Reads SQLite's write-ahead log before SQLite does, to distinguish a torn end from damage.

SQLite takes the log up to the first frame that does not fit its checksum and drops the rest without
a word. That is right for an end that a crash has torn, and wrong for a bit that has changed: what
follows was acknowledged. With `fsync` each transaction is on the disk before the next one is
written, so one that is followed by another cannot be torn.

The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from struct import Struct, unpack
from typing import BinaryIO

from taskq.errors import JournalError

_HEADER = Struct(">8I")  # magic, version, page size, generation, two salts, two checksums
_FRAME = Struct(">6I")  # page, pages of the file if a transaction ends here (else 0), salts, sums
_MAGIC = 0x377F0682  # the last bit says that checksums are of big-endian words
_MASK = 0xFFFFFFFF

Sums = tuple[int, int]

logger = logging.getLogger("taskq.broker")


def check_log(file: Path, *, synced: bool) -> bool:
    """Whether a broker that was killed has left a log next to the journal `file`.

    Args:
        synced: whether each commit was synced (`durability="fsync"`). Without that a loss of power
            may tear more than one transaction, so it is only reported in the log of the broker.

    Raises:
        JournalError: the log is damaged, or the journal is empty: a new one never is.
    """
    path = Path(f"{file}-wal")
    left_over = path.exists() and path.stat().st_size > _HEADER.size
    if (left_over or file.exists()) and not (file.exists() and file.stat().st_size):
        raise _damaged(file, "it is empty")
    if not left_over:
        return False
    with path.open("rb") as log:
        first = log.read(_HEADER.size)
        magic, _, page_size, _, *salts, sum0, sum1 = _HEADER.unpack(first)
        order = ">" if magic & 1 else "<"
        # SQLite syncs the header before it writes a frame, whatever the durability
        if magic & ~1 != _MAGIC or _sum(first[:24], (0, 0), order) != (sum0, sum1):
            raise _damaged(path, "its header does not fit its checksum")
        fitting = sum(1 for _ in _fitting(log, page_size, salts, (sum0, sum1), order))
        behind = list(_commits_and_frames(log, fitting, page_size, salts))
    _judge(path, fitting + 1, behind, synced)
    return True


def _judge(path: Path, bad: int, behind: list[bool], synced: bool) -> None:
    """Whether frame `bad` is the torn end of the log. `behind`: of each frame of this log from there
    on, whether it ends a transaction."""
    if True not in behind:
        return
    after = len(behind) - 1 - behind.index(True)
    if after and synced:
        raise _damaged(
            path, f"frame {bad} does not fit its checksum, and later transactions follow it"
        )
    lost = "nothing in it was acknowledged" if synced else "that is what durability 'os' may lose"
    logger.warning(
        "the end of %s, from frame %d on, is not whole and is left out: after a loss of power "
        "%s; otherwise the disk has changed it",
        path,
        bad,
        lost,
    )


def _fitting(
    log: BinaryIO, page_size: int, salts: list[int], sums: Sums, order: str
) -> Iterator[bytes]:
    """The frames that fit their checksums."""
    while len(frame := log.read(_FRAME.size + page_size)) == _FRAME.size + page_size:
        sums = _sum_page(frame[_FRAME.size :], _sum(frame[:8], sums, order), order)
        if _FRAME.unpack_from(frame)[2:] != (*salts, *sums):
            return
        yield frame


def _commits_and_frames(
    log: BinaryIO, start: int, page_size: int, salts: list[int]
) -> Iterator[bool]:
    """For each later frame with the salts of this log: whether it ends a transaction."""
    step = _FRAME.size + page_size
    log.seek(_HEADER.size + start * step)
    while len(frame := log.read(step)) >= _FRAME.size:
        _, pages, salt0, salt1, _, _ = _FRAME.unpack_from(frame)
        if [salt0, salt1] == salts:
            yield pages > 0


def _sum(data: bytes, sums: Sums, order: str) -> Sums:
    """SQLite's checksum of pairs of words, begun with `sums`."""
    s0, s1 = sums
    words = iter(unpack(f"{order}{len(data) // 4}I", data))
    for even, odd in zip(words, words, strict=True):
        s0 = (s0 + even + s1) & _MASK
        s1 = (s1 + odd + s0) & _MASK
    return s0, s1


def _sum_page(page: bytes, sums: Sums, order: str) -> Sums:
    """The same, four pairs at a time: a full log has two million pairs."""
    s0, s1 = sums
    w = iter(unpack(f"{order}{len(page) // 4}I", page))
    for a, b, c, d, e, f, g, h in zip(w, w, w, w, w, w, w, w, strict=True):
        s0 += a + s1
        s1 += b + s0
        s0 += c + s1
        s1 += d + s0
        s0 += e + s1
        s1 += f + s0
        s0 = (s0 + g + s1) & _MASK
        s1 = (s1 + h + s0) & _MASK
    return s0, s1


def _damaged(path: Path, how: str) -> JournalError:
    return JournalError(
        f"{path} is damaged: {how}; nothing was changed. Keep a copy of the directory, then "
        "restore a backup, or move the log away and lose what only it holds"
    )
