"""Whether a pickle refers to something of `__main__`, which is another module where it is loaded."""

from __future__ import annotations

import pickletools

from taskq.program import MAIN

# a module's name in a pickle of protocol 4 or later; in any longer text the length differs
_NAMES = tuple(bytes([0x8C, len(name)]) + name.encode() for name in MAIN)


def refers_to_main(data: bytes) -> bool:
    """Whether a pickle of protocol 5 names `__main__` as a module, not only in some text."""
    if not any(name in data for name in _NAMES):
        return False
    memo: list[object] = []
    texts: list[object] = [None, None]  # the two values that were pushed last
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name == "MEMOIZE":
            memo.append(texts[1])
        elif name == "STACK_GLOBAL":
            if texts[0] in MAIN:
                return True
        elif name in ("BINGET", "LONG_BINGET"):
            texts = [texts[1], memo[int(str(argument))]]
        elif name != "FRAME":
            texts = [texts[1], argument if isinstance(argument, str) else None]
    return False
