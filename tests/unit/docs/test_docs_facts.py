"""Names and places in the documents exist: links, files, options, errors, environment variables."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec
import pytest

import taskq
from taskq import errors
from taskq.cli.commands.worker import command as worker_command
from taskq.cli.main import COMMANDS
from taskq.options.task_options import Overrides, TaskKeywords
from taskq.protocol.values import BrokerStats, JobInfo, Progress, QueueStats, WorkerStats
from tests.kit.files import ROOT
from tests.kit.pages import PAGES, anchors, blocks, links, name_of, prose

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
LANGUAGES = {"python", "console", "mermaid", "ini", "text", ""}
SET_BY_TASKQ = {"TASKQ_DEMO_DIARY"}  # told to workers that we start
HOUSE = re.compile(r"/work\b|/tmp\b|index-url", re.IGNORECASE)
FILE = re.compile(r"`((?:taskq|tests|docs|examples)/[\w./-]+)`")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def first_cells(page: str, heading: str) -> list[str]:
    """The first cell of each row of the first table below a heading."""
    section = text_of(page).split(f"\n## {heading}\n")[1]
    table = re.search(r"^\|.*(?:\n\|.*)+", section, re.MULTILINE)
    assert table is not None
    return [row.split("|")[1].strip() for row in table[0].splitlines()[2:]]


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    for name in FILE.findall(text_of(name_of(page))):
        assert (ROOT / name).exists(), name


@each_page
def test_blocks_have_a_known_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES


@each_page
def test_nothing_of_the_house_is_named(page: Path) -> None:
    assert not HOUSE.findall(text_of(name_of(page)))


@each_page
def test_no_page_is_left_half_written(page: Path) -> None:
    assert not re.findall(r"\b(?:TODO|TBD|FIXME|XXX)\b|^[A-Z]{5,}$", prose(page), re.MULTILINE)


def test_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def test_readme_has_the_two_commands_on_one_line_each() -> None:
    lines = text_of("README.md").splitlines()
    commands = [line for line in lines if line.startswith("python3 -m venv ")]
    assert len(commands) == 2
    assert commands[0].endswith("taskq demo")
    assert commands[1].endswith("-m pytest")


def test_every_page_is_reachable_from_the_index() -> None:
    seen: set[Path] = set()
    open_pages = [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md":
                open_pages.append(target)
            elif target.is_dir():
                open_pages.extend(target.glob("*.md"))
    assert set(PAGES) <= seen


def test_option_table_has_every_option() -> None:
    cells = {cell.strip("`") for cell in first_cells("docs/guides/tasks-and-options.md", "Options")}
    assert cells == {*TaskKeywords.__annotations__, *Overrides.__annotations__}


def test_worker_guide_has_every_option() -> None:
    section = text_of("docs/guides/workers.md").split("## Processes")[0]
    named = set(re.findall(r"`(--?[a-zA-Z][\w-]*)", section))
    shared = {"--broker", "--json"}
    for option in worker_command.params:
        if isinstance(option, click.Option) and not shared & set(option.opts):
            assert named & set(option.opts), option.opts
            named -= set(option.opts)
    assert named == set()


def test_reference_has_every_command() -> None:
    section = text_of("docs/reference.md").split("## Commands")[1]
    assert set(re.findall(r"`taskq ([a-z]+)\b", section)) == set(COMMANDS)


@each_page
def test_commands_in_console_blocks_exist(page: Path) -> None:
    for block in blocks(page):
        if block.language == "console":
            for words in re.findall(r"(?:\$|bin/taskq|app) ?taskq (.*)", block.text):
                names = [word for word in words.split() if word in COMMANDS]
                assert names, words


def test_reference_has_every_public_name() -> None:
    page = text_of("docs/reference.md")
    public = [name for name in taskq.__all__ if not name.startswith("__")]
    assert not [name for name in public if not re.search(rf"`[^`]*\b{name}\b[^`]*`", page)]


def test_reference_has_every_error() -> None:
    page = text_of("docs/reference.md")
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.TaskqError):
            assert re.search(rf"\b{name}\b", page), name


@pytest.mark.parametrize("struct", [JobInfo, Progress, BrokerStats, QueueStats, WorkerStats])
def test_reference_has_every_field(struct: type[msgspec.Struct]) -> None:
    section = text_of("docs/reference.md").split("## Fields")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", section))
    assert set(struct.__struct_fields__) <= named


def test_environment_table_has_every_variable() -> None:
    used = set()
    for source in (ROOT / "taskq").rglob("*.py"):
        used |= set(re.findall(r"[\"'](TASKQ_[A-Z_]+)[\"']", source.read_text(encoding="utf-8")))
    cells = {cell.strip("`") for cell in first_cells("docs/operations.md", "Environment")}
    assert cells == used - SET_BY_TASKQ
