"""The parts of the demo: diary, verdict, mail sink, exit code."""

from __future__ import annotations

import json
import smtplib
import sysconfig
from email.message import EmailMessage
from pathlib import Path

import pytest
from click.testing import CliRunner

from taskq.cli.main import cli
from taskq.demo.diary import DiaryEntry, account, read
from taskq.demo.mail import MailSink
from taskq.demo.story import Story, stdlib_files
from taskq.demo.verdict import Verdict


def entries(text: str) -> list[DiaryEntry]:
    """`a1s` is the start of attempt 1 of `a`; `d` is done, `f` failed."""
    events = {"s": "start", "d": "done", "f": "failed"}
    return [DiaryEntry(events[word[2]], word[0], "t", int(word[1]), 1) for word in text.split()]


@pytest.mark.parametrize(
    ("text", "finished", "redelivered", "retried", "duplicates"),
    [
        ("a1s a1d b1s b1d", "ab", 0, 0, 0),
        ("a1s a2s a2d", "a", 1, 0, 0),
        ("a1s a1d a2s a2d", "a", 1, 0, 1),
        ("a1s a1f a2s a2f a3s a3d", "a", 0, 2, 0),
        ("a1s a1f a2s a2f a1s a1d", "a", 0, 1, 0),
        ("a1s", "", 0, 0, 0),
    ],
)
def test_account(text: str, finished: str, redelivered: int, retried: int, duplicates: int) -> None:
    found = account(entries(text))
    assert found.finished == frozenset(finished)
    assert (found.redelivered, found.retried, found.duplicates) == (
        redelivered,
        retried,
        duplicates,
    )


def test_a_diary_that_nobody_wrote(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == []


def test_one_false_claim_is_enough() -> None:
    verdict = Verdict()
    assert not verdict.holds
    verdict.equal("a", 1000, 1000)
    verdict.at_least("b", 1, 1)
    verdict.at_most("c", 1, 1)
    assert verdict.holds
    assert "1,000" in str(verdict)
    verdict.at_most("lost", 1, 0)
    assert not verdict.holds
    assert "FALSE" in str(verdict)
    assert [claim["holds"] for claim in verdict.as_data()] == [True, True, True, False]


@pytest.mark.parametrize(("found", "code"), [(0, 0), (1, 1)])
def test_the_demo_exits_1_if_a_claim_is_false(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: int, code: int
) -> None:
    def run(story: Story) -> None:
        story.numbers |= {"enqueued": 1, "redelivered": 0, "duplicates": 0, "lost": found}
        story.verdict.equal("lost", found, 0)

    monkeypatch.setattr(Story, "run", run)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = CliRunner().invoke(cli, ["demo"])
    assert result.exit_code == code, result.output
    result = CliRunner().invoke(cli, ["--json", "demo"])
    assert json.loads(result.stdout)["ok"] is (code == 0)
    assert list(tmp_path.iterdir()) == []


def test_mails_arrive_as_they_were_sent(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", "Grüße"
    mail.set_content("one\n.two\n")
    with MailSink(tmp_path / "mbox") as sink:
        with smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as server:
            server.send_message(mail)
        assert sink.subjects() == ["Grüße"]
    assert "one\n.two\n" in (tmp_path / "mbox").read_text()


def test_the_standard_library_has_files() -> None:
    files = stdlib_files()
    assert len(files) > 300
    root = sysconfig.get_path("stdlib")
    inside = {name.removeprefix(root).split("/")[1] for name in files}
    assert "json" in inside
    assert not inside & {"site-packages", "dist-packages", "test"}
