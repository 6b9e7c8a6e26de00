"""The key file: made once, readable by its owner only, and refused if it is not."""

from __future__ import annotations

import contextlib
import errno
import hmac
import os
import stat
from pathlib import Path

from taskq.errors import AuthenticationFailed
from taskq.transport.sync import sync_directory

_MIN_KEY = 16
_MAX_PAYLOAD_KEY = 64


def read_key(path: Path, named_by: str = "") -> bytes:
    """The key in a file, surrounding whitespace removed.

    Args:
        path: the file.
        named_by: the option or variable that names it; empty if it lies in its default place.

    Raises:
        AuthenticationFailed: the file is missing, a symbolic link, another user's, readable or
            writable by others, or too short to be a key.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        if named_by:
            raise AuthenticationFailed(
                f"there is no key file {path}, which {named_by} names; correct that"
            ) from None
        raise AuthenticationFailed(
            f"there is no key file {path}; a broker makes its own at its first start, "
            "and TASKQ_AUTHKEY_FILE names one that lies elsewhere"
        ) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise AuthenticationFailed(
                f"the key file {path} is a symbolic link; put the key itself there"
            ) from None
        raise AuthenticationFailed(
            f"the key file {path} cannot be read: {error.strerror}"
        ) from None
    with open(fd, "rb") as file:
        _check(path, os.fstat(fd))
        key = file.read(4096).strip()
    if len(key) < _MIN_KEY:
        raise AuthenticationFailed(
            f"the key file {path} holds {len(key)} bytes; a key has at least {_MIN_KEY}"
        )
    return key


def _check(path: Path, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise AuthenticationFailed(f"the key file {path} is not a regular file")
    if info.st_uid != os.geteuid():
        raise AuthenticationFailed(
            f"the key file {path} belongs to user {info.st_uid}, not to user {os.geteuid()}; "
            "run as its owner, or use a copy of your own"
        )
    if info.st_mode & 0o077:
        raise AuthenticationFailed(
            f"the key file {path} is open to others (mode {stat.S_IMODE(info.st_mode):o}); "
            f"make a new key, or run: chmod 600 {path}"
        )


def ensure_key(path: Path) -> bytes:
    """The key in a file, which is made with 32 random bytes if it is missing.

    Raises:
        AuthenticationFailed: as `read_key`.
    """
    if not os.path.lexists(path):
        write_key(path, os.urandom(32).hex().encode())
    return read_key(path)


def write_key(path: Path, key: bytes) -> None:
    """Make a key file; one that is there already is left as it is."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(key + b"\n")
            file.flush()
            os.fsync(fd)
        # link, not rename: of two who make the key at once, both use the first one's
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
    sync_directory(path.parent)  # a key that a loss of power takes makes the journal unreadable


def has_payload_key() -> bool:
    """Whether calls and results are signed with a key of their own, not with the authentication key."""
    return bool(os.environ.get("TASKQ_PAYLOAD_KEY_FILE"))


def payload_key(authkey: bytes) -> bytes:
    """The key that signs calls and results, which the broker does not use.

    `TASKQ_PAYLOAD_KEY_FILE` names a file with a key of its own; then access to the broker alone does
    not suffice to run code on workers. Default: derived from the authentication key.

    Raises:
        AuthenticationFailed: that file cannot be used.
    """
    name = os.environ.get("TASKQ_PAYLOAD_KEY_FILE")
    if name:
        key = read_key(Path(name).expanduser(), "TASKQ_PAYLOAD_KEY_FILE")
        if len(key) > _MAX_PAYLOAD_KEY:
            raise AuthenticationFailed(
                f"the payload key file {name} holds more than {_MAX_PAYLOAD_KEY} bytes; "
                "make a shorter one"
            )
        return key
    return hmac.digest(authkey, b"taskq payload key", "sha256")
