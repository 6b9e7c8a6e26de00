"""The broker's one loop: read all, apply, commit once, reply, sleep until there is work.

    tick:  read every connection that is ready → decode → engine.apply each request
           → engine.advance → journal.commit → send every reply
           sleep until a socket is ready or something falls due

One thread, so nothing here takes a lock. Nothing polls but a look at the broker's own files, every
two seconds: with no traffic and nothing due, the loop sleeps.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
from collections.abc import Callable

from taskq.broker.acceptor import Acceptor
from taskq.broker.host import Host
from taskq.broker.limits import Limits
from taskq.broker.peer import Peer
from taskq.broker.pending import PendingHandshakes
from taskq.broker.refusals import Refusals
from taskq.errors import AuthenticationFailed, ProtocolError
from taskq.protocol import frames as wire
from taskq.protocol.base import Failed, Reply
from taskq.protocol.consuming import Claimed
from taskq.protocol.producing import Waited
from taskq.transport import handshake
from taskq.transport.address import tune
from taskq.transport.peercred import check_peer

_READ = selectors.EVENT_READ
_READ_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE
# what somebody has slept for goes out first: waking a process is what costs most in a round trip
_AWAITED = frozenset({Claimed, Waited})
_LONGEST = 3600.0  # seconds of one sleep: the kernel's waiting calls take no more than 24 days
_LOOK = 2.0  # seconds between two looks at the broker's own files
_CHUNK = 256 * 1024  # read from one connection in one tick, so that none starves the others

logger = logging.getLogger("taskq.broker")


class Loop:
    """Serves a host to the clients of one listening socket.

    Args:
        listener: non-blocking.
        host: loaded; `run` does not close it.
        key: the authentication key.
        address: what the handshake binds proofs to.
        limits: bounds on clients.
        idle_exit: seconds without connections after which `run` returns, if nothing falls due.
    """

    def __init__(
        self,
        listener: socket.socket,
        host: Host,
        key: bytes,
        address: str = "",
        limits: Limits | None = None,
        idle_exit: float | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._host = host
        self._key = key
        self._address = address
        self._idle_exit = idle_exit
        self._leave_at = None if idle_exit is None else host.now + idle_exit
        self._peers: dict[int, Peer] = {}
        self._pending = PendingHandshakes(self.limits.pending_handshakes)
        self._refusals = Refusals()
        self._look: Callable[[], socket.socket | None] | None = None
        self._look_at = float("inf")
        self._sessions = 0
        self._stopping = False
        self._buffer = memoryview(bytearray(_CHUNK))
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._selector.register(self._wake_r, _READ, None)
        self._acceptor = Acceptor(listener, self._selector, self.limits.connections)

    def look_after(self, look: Callable[[], socket.socket | None]) -> None:
        """Call `look` every two seconds; if it gives a listening socket, accept on that one."""
        self._look = look
        self._look_at = self._host.now + _LOOK

    @property
    def connections(self) -> int:
        """How many are open, handshakes included."""
        return len(self._peers)

    @property
    def is_stopping(self) -> bool:
        """Whether `run` returns after the current tick."""
        return self._stopping

    @property
    def pending_handshakes(self) -> int:
        """How many connections have not proved yet that they have the key."""
        return len(self._pending)

    def run(self) -> None:
        """Serve until `stop` is called or the broker has been idle for long enough.

        Raises:
            JournalError: a commit failed; its replies were not sent.
            BrokerUnavailable: the broker's directory or its lock is gone.
        """
        try:
            self._settle()  # what fell due while no broker was running
            while not self._stopping:
                self.tick(self.next_timeout())
        finally:
            self.close()

    def stop(self) -> None:
        """Make `run` return after the current tick; from any thread or signal handler."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake_w.send(b"\0")

    def wakeup_fd(self) -> int:
        """The descriptor for `signal.set_wakeup_fd`, so that a signal ends the loop's sleep."""
        return self._wake_w.fileno()

    def tick(self, timeout: float | None) -> None:
        """Wait at most `timeout` seconds for work, and do what there is."""
        events = self._selector.select(timeout)
        now = self._host.begin()
        for key, mask in events:
            source = key.data
            if type(source) is Peer:
                if mask & _READ:
                    self._read(source)
                elif source.session in self._peers:
                    self._flush(source)
            elif source is None:
                with contextlib.suppress(BlockingIOError):
                    self._wake_r.recv(4096)
            else:
                self._accept(now)
        if self._pending:
            for peer in self._pending.overdue(now):
                self._turn_away(peer)
        self._settle()
        if self._acceptor.resume_at is not None and now >= self._acceptor.resume_at:
            self._acceptor.resume()
        if now >= self._look_at:
            self._look_at_files(now)
        if self._leave_at is not None and now >= self._leave_at:
            self._consider_leaving(now)

    def next_timeout(self) -> float | None:
        """Seconds until something falls due."""
        due = self._host.next_deadline()
        if self._acceptor.resume_at is not None:
            due = _earlier(due, self._acceptor.resume_at)
        if self._pending:
            due = _earlier(due, self._pending.deadline())
        if self._leave_at is not None and not self._peers:
            due = _earlier(due, self._leave_at)
        if self._look is not None:
            due = _earlier(due, self._look_at)
        return None if due is None else min(max(0.0, due - self._host.clock.now()), _LONGEST)

    def _look_at_files(self, now: float) -> None:
        assert self._look is not None
        self._look_at = now + _LOOK
        if (listener := self._look()) is not None:
            self._acceptor.replace(listener)

    def _settle(self) -> None:
        """Commit, then send every reply: one send for each connection."""
        touched: dict[int, None] = {}
        urgent: list[int] = []
        for session, reply in self._host.commit():
            self._put(session, reply)
            if type(reply) in _AWAITED:
                urgent.append(session)
            else:
                touched[session] = None
        for session in (*urgent, *touched):
            if (peer := self._peers.get(session)) is not None:
                self._flush(peer)

    def _put(self, session: int, reply: Reply) -> None:
        peer = self._peers.get(session)
        if peer is None:
            return
        if peer.backlog > self.limits.backlog and not peer.writing:
            self._flush(peer)  # many small requests of one tick may ask for much
        if peer.backlog > self.limits.backlog:
            why = "the client does not read its replies"
            self._refusals.note("closed a connection", why, self._host.now)
            self._drop(peer)
            return
        peer.put(reply)

    # --- connections --------------------------------------------------------------------------

    def _accept(self, now: float) -> None:
        for sock in self._acceptor.accept(len(self._peers), now):
            try:
                check_peer(sock)
                tune(sock)
            except (AuthenticationFailed, OSError) as error:
                self._refusals.note("refused a connection", error, now)
                sock.close()
                continue
            self._sessions += 1
            greeting = handshake.ServerHandshake(self._key, self._address)
            deadline = now + self.limits.handshake
            peer = Peer(sock, self._sessions, greeting, self.limits.frame, deadline)
            self._peers[peer.session] = peer
            self._selector.register(sock, _READ, peer)
            if (oldest := self._pending.add(peer)) is not None:
                self._turn_away(oldest)

    def _turn_away(self, peer: Peer) -> None:
        peer.put_busy()
        self._drop(peer)

    def _read(self, peer: Peer) -> None:
        if peer.session not in self._peers:
            return  # dropped earlier in this tick
        apply = self._host.apply
        try:
            for body in peer.receive(self._buffer):
                apply(peer.session, wire.decode_request(body))
        except ProtocolError as error:
            if peer.authenticated:
                peer.put(Failed(error="ProtocolError", text=str(error)))
            self._refusals.note("closed a connection", error, self._host.now)
            self._drop(peer)
        except AuthenticationFailed as error:
            self._refusals.note("closed a connection", error, self._host.now)
            self._drop(peer)
        except OSError:
            self._drop(peer)
        else:
            if peer.session in self._pending:
                self._on_handshake(peer)

    def _on_handshake(self, peer: Peer) -> None:
        if peer.authenticated:
            del self._pending[peer.session]
        self._flush(peer)

    def _flush(self, peer: Peer) -> None:
        try:
            done = peer.flush()
        except OSError:
            self._drop(peer)
            return
        if done == peer.writing:
            peer.writing = not done
            self._selector.modify(peer.sock, _READ if done else _READ_WRITE, peer)

    def _drop(self, peer: Peer) -> None:
        if self._peers.pop(peer.session, None) is None:
            return
        pending = self._pending.pop(peer.session, None)
        self._selector.unregister(peer.sock)
        peer.close()
        if pending is None:
            self._host.disconnect(peer.session)
        self._acceptor.resume()
        if not self._peers and self._idle_exit is not None:
            self._leave_at = self._host.now + self._idle_exit

    def _consider_leaving(self, now: float) -> None:
        assert self._idle_exit is not None
        if self._peers:
            return  # the last one to go sets the time again
        if self._host.may_leave(self._idle_exit):
            logger.info("no connections for %g s and nothing due: leaving", self._idle_exit)
            self._stopping = True
        else:
            self._leave_at = now + self._idle_exit

    def close(self) -> None:
        """Hang up on everybody; `run` does it at its end. The listening socket is its maker's."""
        self._acceptor.close()
        for peer in self._peers.values():
            peer.put_busy()
            peer.close()
        self._peers.clear()
        self._selector.close()
        self._wake_r.close()
        self._wake_w.close()


def _earlier(one: float | None, other: float) -> float:
    return other if one is None or other < one else one
