"""The listening socket and its file."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from taskq.broker.listener import Listener


def reaches(path: Path, listener: Listener) -> bool:
    """Whether who connects to `path` comes to that listener."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    try:
        listener.socket.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_its_file_goes_with_it(short_dir: Path) -> None:
    listener = Listener(str(short_dir / "sock"))
    assert listener.is_in_place
    assert reaches(short_dir / "sock", listener)
    listener.close()
    assert os.listdir(short_dir) == []


def test_the_socket_in_a_directory_of_the_same_name_is_left_alone(short_dir: Path) -> None:
    place = short_dir / "b"
    place.mkdir()
    first = Listener(str(place / "sock"))
    shutil.rmtree(place)
    place.mkdir()
    second = Listener(str(place / "sock"))
    assert not first.is_in_place
    first.close()
    assert second.is_in_place
    assert reaches(place / "sock", second)
    second.close()


def test_another_socket_in_the_same_directory_is_left_alone(short_dir: Path) -> None:
    first = Listener(str(short_dir / "sock"))
    (short_dir / "sock").unlink()
    second = Listener(str(short_dir / "sock"))
    first.close()
    assert reaches(short_dir / "sock", second)
    second.close()


def test_a_socket_whose_file_was_removed_is_made_anew(short_dir: Path) -> None:
    listener = Listener(str(short_dir / "sock"))
    before = listener.socket
    (short_dir / "sock").unlink()
    assert not listener.is_in_place
    assert listener.renew() is listener.socket is not before
    before.close()
    assert listener.is_in_place
    assert reaches(short_dir / "sock", listener)
    listener.close()


def test_on_tcp_there_is_no_file() -> None:
    listener = Listener(("127.0.0.1", 0))
    assert isinstance(listener.address, tuple)
    assert listener.address[1] > 0
    assert listener.is_in_place
    listener.close()
