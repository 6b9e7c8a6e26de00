"""From a URL to a broker: the one place of the library that names the concrete backends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskq.backends.port import Broker

_FORMS = '"embedded:DIR", "unix:PATH", "tcp://HOST:PORT" or "memory:"'


def connect(url: str | None, name: str, *, autostart: bool = True) -> Broker:
    """The broker under a URL; no connection is opened yet.

    Args:
        url: one of the forms below. `None`: the environment's `TASKQ_BROKER`, else the embedded
            broker in the default directory for `name`.
        name: of the queue, for that default.
        autostart: start the broker of a directory where none runs.

    Raises:
        ValueError: the URL has another form.
        AuthenticationFailed: the broker directory is not ours alone, or no key is named for TCP.
    """
    url = url or os.environ.get("TASKQ_BROKER") or None
    if url is None:
        from taskq.backends.embedded import EmbeddedBroker
        from taskq.transport.directory import default_path

        return EmbeddedBroker(default_path(name), autostart)
    scheme, _, rest = url.partition(":")
    if scheme == "memory" and not rest:
        from taskq.backends.memory import MemoryBroker

        return MemoryBroker()
    if scheme == "embedded" and rest:
        from taskq.backends.embedded import EmbeddedBroker

        return EmbeddedBroker(Path(rest), autostart)
    if scheme == "unix" and rest:
        from taskq.backends.embedded import UnixBroker

        return UnixBroker(Path(rest))
    if scheme == "tcp":
        from taskq.backends.embedded import TcpBroker
        from taskq.transport.address import parse_tcp

        return TcpBroker(parse_tcp(url))
    if scheme in ("redis", "rediss"):
        raise ValueError(f"this version of taskq has no Redis engine yet; use {_FORMS}")
    if ":" not in url and "/" not in url and not url.startswith("."):
        from taskq.transport.directory import default_path

        raise ValueError(
            f"{url!r} is a name, which only the commands of taskq take; a program takes a URL: "
            f'for the embedded broker of that name write "embedded:{default_path(url)}"'
        )
    raise ValueError(f"{url!r} names no broker; use {_FORMS}")
