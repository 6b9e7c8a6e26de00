"""Which broker a command means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskq.cli.support import target
from taskq.cli.support.failure import UNREACHABLE, USAGE, CliError
from tests.kit.messages import naming


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASKQ_DIR", str(tmp_path))
    monkeypatch.setenv("TASKQ_BROKER", "")  # so that what is set here is undone
    monkeypatch.delenv("TASKQ_BROKER")
    monkeypatch.delenv("TASKQ_APP", raising=False)
    return tmp_path


def broker_directory(base: Path, name: str) -> Path:
    (base / name).mkdir()
    (base / name / "key").touch()
    return base / name


def test_a_plain_name_is_an_embedded_broker(base: Path) -> None:
    assert target.only("q") == target.Target(f"embedded:{base / 'q'}", "q", base / "q")


def test_an_embedded_url_names_its_directory(base: Path) -> None:
    assert target.only(f"embedded:{base / 'x'}").directory == base / "x"


def test_another_url_is_taken_as_it_is() -> None:
    assert target.only("tcp://h:1") == target.Target("tcp://h:1", "tcp://h:1")


def test_memory_is_refused() -> None:
    with pytest.raises(CliError, match="inside its program") as caught:
        target.only("memory:")
    assert caught.value.exit_code == USAGE


def test_the_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_BROKER", "tcp://h:1")
    assert target.only(None).url == "tcp://h:1"
    assert target.only("tcp://h:2").url == "tcp://h:2"


@pytest.mark.parametrize(
    ("choice", "before", "after"),
    [
        (None, "ops", "embedded:{base}/ops"),
        (None, "tcp://h:1", "tcp://h:1"),
        (None, "memory:", "memory:"),
        (None, None, None),
        ("ops", "tcp://h:1", "embedded:{base}/ops"),
        ("tcp://h:2", "ops", "tcp://h:2"),
    ],
)
def test_an_app_gets_the_url_of_a_name(
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    choice: str | None,
    before: str | None,
    after: str | None,
) -> None:
    if before is not None:
        monkeypatch.setenv("TASKQ_BROKER", before)
    target.name_for_apps(choice)
    assert os.environ.get("TASKQ_BROKER") == (after and after.format(base=base))


def test_the_only_directory_is_taken(base: Path) -> None:
    broker_directory(base, "one")
    (base / "not-a-broker").mkdir()
    assert target.only(None).name == "one"


def test_several_directories_are_listed(base: Path) -> None:
    broker_directory(base, "one")
    broker_directory(base, "two")
    with pytest.raises(CliError, match="one, two") as caught:
        target.only(None)
    assert caught.value.exit_code == USAGE
    assert [each.name for each in target.choose(None)] == ["one", "two"]


def test_none_at_all(base: Path) -> None:
    with pytest.raises(CliError, match=naming("no broker")) as caught:
        target.only(None)
    assert caught.value.exit_code == UNREACHABLE


def test_a_name_that_cannot_be_a_directory() -> None:
    with pytest.raises(CliError, match=naming("../x", "embedded:")):
        target.only("../x")


def test_the_app_is_asked(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base)
    monkeypatch.syspath_prepend(str(base))
    (base / "unit_cli_shop.py").write_text("from taskq import TaskQueue\nq = TaskQueue('shop')\n")
    monkeypatch.setenv("TASKQ_APP", "unit_cli_shop:q")
    assert target.only(None).name == "shop"
    with pytest.raises(CliError, match=naming("no broker")):
        target.only(None, ask_app=False)


def test_a_further_command_means_the_same_broker(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = f"embedded:{broker_directory(base, 'shop')}"
    assert target.option_for(shop, None) == ""
    assert target.option_for(shop, "shop") == " --broker shop"
    assert target.option_for("embedded:/srv/a b", None) == " --broker 'embedded:/srv/a b'"
    broker_directory(base, "my mails")
    assert target.option_for(shop, None) == " --broker shop"
    assert target.option_for(f"embedded:{base / 'my mails'}", None) == " --broker 'my mails'"
    monkeypatch.setenv("TASKQ_BROKER", "shop")
    assert target.option_for(shop, None) == ""
    assert target.option_for("tcp://h:1", None) == " --broker tcp://h:1"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another user")
def test_the_directory_of_another_user_is_named_as_such(base: Path) -> None:
    os.chown(broker_directory(base, "theirs"), 54321, -1)
    with pytest.raises(CliError, match=naming(base / "theirs", "#54321")) as caught:
        target.refuse_foreign(base / "theirs")
    assert caught.value.exit_code == UNREACHABLE
    target.refuse_foreign(base / "none")
