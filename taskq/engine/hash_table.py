"""A hash table of numbers in a few blocks of memory, which grows and shrinks in small steps."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from taskq.protocol.values import Call

SHARDS = 1024
PLACE_BITS = 40

_SHARD_BITS = 10
_PLACE = 2**PLACE_BITS - 1
_MARK = 2**24 - 1
_SMALL = 32  # slots of an empty shard: 256 KiB for all
_EMPTY = array("Q", bytes(8 * _SMALL))
assert 2**_SHARD_BITS == SHARDS


class HashTable:
    """Places by hash. Whether a place is the right one is for the caller to see.

    The table is divided into shards, arrays with open addressing. A slot is 24 bits of the hash and
    40 of the place, which is not 0; 0 is a free slot. A shard is as large as a thousandth of the
    table, so that no step is long. The arrays are made once: what is made later lies among the
    messages of its time, whose memory could then not be given back.
    """

    __slots__ = ("_shards", "_used")

    def __init__(self) -> None:
        self._shards = [_EMPTY[:] for _ in range(SHARDS)]
        self._used = array("I", bytes(4 * SHARDS))

    def places(self, hash: int) -> Iterator[int]:
        """The places whose hash is likely to be that one."""
        slots = self._shards[hash & SHARDS - 1]
        mask = len(slots) - 1
        mark = hash >> _SHARD_BITS & _MARK
        index = mark & mask
        while slot := slots[index]:
            if slot >> PLACE_BITS == mark:
                yield slot & _PLACE
            index = index + 1 & mask

    def likely(self, calls: list[Call]) -> list[str]:
        """Those ids of the calls that are likely to have a place."""
        shards, shard_mask, marks = self._shards, SHARDS - 1, _MARK
        found = []
        for call in calls:
            h = hash(call.id)
            slots = shards[h & shard_mask]
            mark = h >> _SHARD_BITS & marks
            mask = len(slots) - 1
            index = mark & mask
            while slot := slots[index]:
                if slot >> PLACE_BITS == mark:
                    found.append(call.id)
                    break
                index = index + 1 & mask
        return found

    def extend(self, keys: list[str], place: int) -> None:
        """Add the hashes of these keys: the first has that place, the others the next ones."""
        shards, used, shard_mask, marks = self._shards, self._used, SHARDS - 1, _MARK
        for h in map(hash, keys):
            number = h & shard_mask
            slots = shards[number]
            count = used[number]
            length = len(slots)
            if count * 3 >= length * 2:
                length *= 2
                _resize(slots, length)
            used[number] = count + 1
            mark = h >> _SHARD_BITS & marks
            mask = length - 1
            index = mark & mask
            while slots[index]:
                index = index + 1 & mask
            slots[index] = mark << PLACE_BITS | place
            place += 1

    def replace(self, hash: int, old: int, new: int) -> None:
        """Put one place where another was."""
        slots, index = self._find(hash, old)
        slots[index] = slots[index] & ~_PLACE | new

    def remove(self, hash: int, place: int) -> None:
        """Take a place out, and move those up that would no longer be found (Knuth, 6.4, R)."""
        slots, index = self._find(hash, place)
        mask = len(slots) - 1
        look = index
        while slot := slots[look := look + 1 & mask]:
            home = slot >> PLACE_BITS & mask
            if (look - home & mask) >= (look - index & mask):
                slots[index] = slot
                index = look
        slots[index] = 0
        number = hash & SHARDS - 1
        self._used[number] -= 1
        if self._used[number] * 8 < len(slots) > _SMALL:
            _resize(slots, len(slots) // 2)

    def expect(self, count: int) -> None:
        """Make an empty table large enough for so many."""
        length = 1 << (count * 2 // SHARDS).bit_length()
        for slots in self._shards if length > _SMALL else ():
            slots.frombytes(bytes(8 * (length - len(slots))))

    def _find(self, hash: int, place: int) -> tuple[array[int], int]:
        slots = self._shards[hash & SHARDS - 1]
        mask = len(slots) - 1
        mark = hash >> _SHARD_BITS & _MARK
        wanted = mark << PLACE_BITS | place
        index = mark & mask
        while slots[index] != wanted:
            index = index + 1 & mask
        return slots, index


def _resize(slots: array[int], length: int) -> None:
    """Move all to where they belong among so many slots; the array stays the same object."""
    old = [slot for slot in slots if slot]
    del slots[:]
    slots.frombytes(bytes(8 * length))
    mask = length - 1
    for slot in old:
        index = slot >> PLACE_BITS & mask
        while slots[index]:
            index = index + 1 & mask
        slots[index] = slot
