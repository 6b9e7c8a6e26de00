"""The broker's listening socket, and the file of it, which is removed only if it is ours."""

from __future__ import annotations

import contextlib
import os
import socket

from taskq.transport.address import Address, listen


class Listener:
    """A listening socket, in the shape that `multiprocessing.managers.Server` wants.

    The file of a unix socket is reached through a descriptor of its directory: where somebody has
    removed that directory and made another one of the same name, the socket in the new one is
    another broker's. It is also compared by inode, whose number cannot be used again while we listen.

    Args:
        address: path of a unix socket, or host and port; port 0 takes a free one.

    Raises:
        OSError: the address is in use or cannot be used.
    """

    def __init__(self, address: Address, backlog: int = 0) -> None:
        self.address: Address = address
        self._name = ""
        self._directory = -1
        self._inode: tuple[int, int] | None = None
        if isinstance(address, str):
            parent, self._name = os.path.split(address)
            self._directory = os.open(parent or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.socket = listen(address)
        except BaseException:
            self._leave_directory()
            raise
        if isinstance(address, str):
            self._inode = self._found()
        else:
            self.address = self.socket.getsockname()[:2]

    @property
    def is_in_place(self) -> bool:
        """Whether clients that come to the address reach this socket."""
        return not self._name or (self._inode is not None and self._found() == self._inode)

    def renew(self) -> socket.socket:
        """Listen on a new socket in the old place; the caller closes the old one.

        Raises:
            OSError: the address cannot be used.
        """
        self.socket = listen(self.address)
        self._inode = self._found()
        return self.socket

    def close(self) -> None:
        """Stop listening, and remove a unix socket's file."""
        if self._name and self.is_in_place:
            # before the socket is closed: from then on another file may get its inode number
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._directory)
        self.socket.close()
        self._leave_directory()

    def _found(self) -> tuple[int, int] | None:
        """The device and inode of the file at the address, or `None`."""
        try:
            found = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _leave_directory(self) -> None:
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1
            self._name = ""
