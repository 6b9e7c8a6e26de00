"""An SMTP server that keeps every mail in an mbox file and sends none on."""

from __future__ import annotations

import mailbox
import socketserver
import threading
from pathlib import Path
from typing import cast

MAX_MAIL = 10 * 2**20


class MailSink(socketserver.ThreadingTCPServer):
    """Listens at once; `serve_forever` serves.

    Args:
        address: host and port; port 0 takes a free one.
        path: the mbox file.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], path: Path) -> None:
        super().__init__(address, Session)
        self._path = path
        self._lock = threading.Lock()

    def keep(self, mail: bytes) -> None:
        """Append one mail to the mbox."""
        with self._lock:
            box = mailbox.mbox(self._path)
            try:
                box.add(mail)
                box.flush()
            finally:
                box.close()


class Session(socketserver.StreamRequestHandler):
    """One client; the commands of RFC 5321 that a mail needs."""

    timeout = 30

    def handle(self) -> None:
        """Talk until QUIT."""
        self._say("220 mail sink")
        while line := self.rfile.readline(1000):
            command = line[:4].strip().upper()
            if command == b"DATA":
                self._data()
            elif command == b"QUIT":
                return self._say("221 bye")
            elif command in (b"EHLO", b"HELO", b"MAIL", b"RCPT", b"RSET", b"NOOP"):
                self._say("250 ok")
            else:
                self._say("502 this server only takes mails in")
        return None

    def _data(self) -> None:
        self._say("354 end with a single dot")
        mail = bytearray()
        while (line := self.rfile.readline(100_000)) not in (b".\r\n", b""):
            mail += (line[1:] if line.startswith(b".") else line).replace(b"\r\n", b"\n")
            if len(mail) > MAX_MAIL:
                return self._say("552 too large")
        cast("MailSink", self.server).keep(bytes(mail))
        return self._say("250 kept")

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")
