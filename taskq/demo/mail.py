"""A real SMTP server of a hundred lines: takes mails on this machine and keeps them in an mbox."""

from __future__ import annotations

import email
import email.policy
import mailbox
import socketserver
import threading
from pathlib import Path
from types import TracebackType
from typing import cast


class MailSink:
    """An SMTP server on a free port of 127.0.0.1, for the length of a `with` block.

    Args:
        path: the mbox file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Session)
        self._server.sink = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def keep(self, data: bytes) -> None:
        """Append one mail to the mbox."""
        with self._lock:
            box = mailbox.mbox(self._path)
            try:
                box.add(data)
                box.flush()
            finally:
                box.close()

    def subjects(self) -> list[str]:
        """The subjects of all mails that have come in."""
        with self._lock:
            box = mailbox.mbox(self._path, factory=None)
            try:
                mails = [
                    email.message_from_bytes(bytes(mail), policy=email.policy.default)
                    for mail in box
                ]
            finally:
                box.close()
        return [str(mail["subject"]) for mail in mails]

    def __enter__(self) -> MailSink:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    sink: MailSink


class _Session(socketserver.StreamRequestHandler):
    """One client; the commands of RFC 5321 that a mail needs."""

    timeout = 10

    def handle(self) -> None:
        """Talk until QUIT."""
        self._say("220 demo mail sink")
        while line := self.rfile.readline(1000):
            command = line[:4].upper().strip()
            if command == b"DATA":
                self._say("354 end with a single dot")
                cast("_Server", self.server).sink.keep(self._data())
                self._say("250 kept")
            elif command == b"QUIT":
                self._say("221 bye")
                return
            elif command in (b"EHLO", b"HELO", b"MAIL", b"RCPT", b"RSET", b"NOOP"):
                self._say("250 ok")
            else:
                self._say("502 not here")

    def _data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline(100_000)) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines).replace(b"\r\n", b"\n")

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")
