"""The types of the tables in each engine module: its handlers, and its kinds of parked requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskq.engine.ledger import Ledger
from taskq.engine.sessions import Parked, Session
from taskq.engine.tick import Tick
from taskq.protocol.base import Reply, Request

Handler = Callable[[Ledger, Session, Any, Tick], Reply | None]
Handlers = dict[type[Request[Any]], Handler]
"""Requests, and what carries out each one. `None` instead of a reply: the request is parked."""

Expire = Callable[[Ledger, Any, float], None]
Withdraw = Callable[[Ledger, Any], None]
ParkedKinds = dict[type[Parked], tuple[Expire, Withdraw]]
"""Kinds of parked requests: what is done at the deadline, and when the session closes."""

REPLY_BYTES = 8 * 2**20  # from which on a reply carries no more; the rest comes with the next
