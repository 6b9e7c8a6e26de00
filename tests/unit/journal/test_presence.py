"""Files that are gone, or others than those that were opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq.errors import JournalError
from taskq.journal.presence import Presence
from tests.kit.messages import naming


def test_what_stays_is_in_order_and_may_grow(tmp_path: Path) -> None:
    file, log = tmp_path / "file", tmp_path / "log"
    file.write_text("a")
    presence = Presence(file, log)
    presence.verify()
    log.write_text("it came later")
    file.write_text("it is another text in the same file")
    presence.verify()
    presence.verify()


@pytest.mark.parametrize("name", ["file", "log"])
def test_what_was_removed_is_named(tmp_path: Path, name: str) -> None:
    file, log = tmp_path / "file", tmp_path / "log"
    for path in (file, log):
        path.touch()
    presence = Presence(file, log)
    presence.verify()
    (tmp_path / name).unlink()
    with pytest.raises(JournalError, match=naming(tmp_path / name)):
        presence.verify()


def test_what_was_replaced_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    presence = Presence(file)
    presence.verify()
    (tmp_path / "copy").touch()
    (tmp_path / "copy").replace(file)
    with pytest.raises(JournalError, match=naming(file)):
        presence.verify()


def test_a_look_that_fails_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    presence = Presence(file)
    presence.verify()

    def refuse(path: object) -> object:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("taskq.journal.presence.os.stat", refuse)
        presence.verify()
    file.unlink()
    with pytest.raises(JournalError):
        presence.verify()
