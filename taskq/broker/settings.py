"""The settings of a broker: defaults, checks, and the environment variables that stand in for some."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from taskq.journal import DURABILITIES
from taskq.sizes import size_in_bytes, whole_number
from taskq.transport.address import Address, is_loopback, parse_tcp
from taskq.transport.directory import BrokerDirectory

_VARIABLES: dict[str, tuple[str, Callable[[str, str], int]]] = {
    "max_messages": ("TASKQ_MAX_MESSAGES", whole_number),
    "max_bytes": ("TASKQ_MAX_BYTES", size_in_bytes),
    "max_results": ("TASKQ_MAX_RESULTS", whole_number),
    "max_result_bytes": ("TASKQ_MAX_RESULT_BYTES", size_in_bytes),
}


class BrokerSettings(msgspec.Struct, frozen=True):
    """How to run a broker. A program that starts one passes them as JSON; see `to_json`.

    Args:
        directory: where the journal, the key and the socket live.
        listen: `"unix"`, or `"tcp://HOST:PORT"`.
        durability: `"fsync"`, `"os"` or `"none"`.
        authkey_file: the key; default: `key` in the directory, made if it is missing.
        idle_exit: seconds without connections after which the broker leaves; default: never.
        insecure: allow TCP beyond this machine, without encryption.
        max_messages: how many messages it keeps at most, in all queues; 0: no limit, the default.
        max_bytes: the same for the bytes of their payloads. Results count, too, and make way.
        max_results: how many results it keeps at most, the oldest expire early; 0: no limit. Default:
            1,000,000, with durability `"none"` 200,000.
        max_result_bytes: the same for the bytes of their values. Default: 1 GiB, or 256 MiB.
        ready_fd: descriptor that gets one line about the start and is closed; see `run.ReadyPipe`.
        detach: run in the background, in a session of its own.

    Raises:
        ValueError: a value that is not one of these, or TCP beyond this machine.
    """

    directory: Path
    listen: str = "unix"
    durability: str = "fsync"
    authkey_file: Path | None = None
    idle_exit: float | None = None
    insecure: bool = False
    max_messages: int | None = None
    max_bytes: int | None = None
    max_results: int | None = None
    max_result_bytes: int | None = None
    ready_fd: int | None = None
    detach: bool = False

    def __post_init__(self) -> None:
        if self.durability not in DURABILITIES:
            raise ValueError(f"durability must be fsync, os or none, not {self.durability!r}")
        if self.idle_exit is not None and not self.idle_exit >= 0:
            raise ValueError(f"idle_exit must be seconds that are not negative: {self.idle_exit!r}")
        for name in _VARIABLES:
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must be zero or greater, not {value}")
        if self.listen == "unix":
            return
        host, _ = parse_tcp(self.listen)
        if not is_loopback(host) and not self.insecure:
            raise ValueError(
                f"{self.listen} can be reached from other machines and is not encrypted; "
                "listen on 127.0.0.1 and tunnel, or accept that with --insecure"
            )

    def address(self, directory: BrokerDirectory) -> Address:
        """Where to listen."""
        return str(directory.socket) if self.listen == "unix" else parse_tcp(self.listen)

    def completed(self, environment: Mapping[str, str]) -> BrokerSettings:
        """With the limits that were not given, as far as environment variables have them.

        Raises:
            ValueError: one of these variables cannot be read.
        """
        limits = {
            name: parse(variable, text)
            for name, (variable, parse) in _VARIABLES.items()
            if getattr(self, name) is None and (text := environment.get(variable))
        }
        return msgspec.structs.replace(self, **limits) if limits else self

    def to_json(self) -> str:
        """As the argument of `python -m taskq.broker`."""
        return msgspec.json.encode(self, enc_hook=_to_text).decode()

    @classmethod
    def from_json(cls, text: str) -> BrokerSettings:
        """The settings that `to_json` has written.

        Raises:
            msgspec.MsgspecError: `text` is something else, or a setting is wrong.
        """
        return msgspec.json.decode(text, type=cls, dec_hook=_to_path)


def _to_text(path: Path) -> str:
    # bytes that are not UTF-8, which JSON cannot hold; a NUL is in no path
    return re.sub("[\udc80-\udcff]", lambda found: f"\0{ord(found[0]) & 0xFF:02x}", str(path))


def _to_path(kind: type, text: str) -> Path:
    return Path(re.sub("\0(..)", lambda found: chr(0xDC00 | int(found[1], 16)), text))
