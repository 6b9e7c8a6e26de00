"""The generated parts of the documents are those that the code makes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from taskq.engine import states
from taskq.protocol.consuming import Claim
from taskq.protocol.frames import AnyRequest

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["state_machine.md", "protocol.md", "architecture.md", "guarantees.md"]
)
def test_committed_file_is_the_generated_one(generate: ModuleType, name: str) -> None:
    page = DOCS / name
    assert page.read_text(encoding="utf-8") == generate.rendered()[page], (
        "run: python docs/generate.py"
    )


def test_state_machine_has_every_step_once(generate: ModuleType) -> None:
    page = generate.state_machine()
    for state, steps in states.TRANSITIONS.items():
        for event, target in steps.items():
            arrow = f"    {state.label} --> {target.label}: {event.name.lower()}\n"
            assert page.count(arrow) == 1


def test_protocol_has_every_request_with_its_reply(generate: ModuleType) -> None:
    section = generate.vocabulary()
    for request in get_args(AnyRequest):
        assert f"#### {request.__name__}\n" in section
    assert "| [`Enqueue`](#enqueue) | [`Enqueued`](#enqueued) |" in section
    assert "| [`Extend`](#extend) | [`Done`](#done) | `LeaseLost` |" in section


def test_the_order_of_fields_is_that_of_the_wire(generate: ModuleType) -> None:
    import msgspec

    claim = Claim(queues=["q"], n=1, wait=2.0, rid=7)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(claim)) == ["Claim", 7, 2.0, ["q"], 1]
    assert 'array: `["Claim", rid, wait, queues, n]`' in generate.vocabulary()
