"""Any sequence of requests, deaths, crashes and jumps of the clock keeps every promise."""

from __future__ import annotations

import os

import pytest
from hypothesis import seed

from tests.property.conftest import SEED
from tests.property.failing import Failing
from tests.property.limiting import Limiting
from tests.property.operating import Operating
from tests.property.producing import Producing
from tests.property.slicing import Slicing
from tests.property.stage import Stage
from tests.property.working import Working


class EngineMachine(Limiting, Slicing, Producing, Working, Operating, Failing):
    """Drives one engine on one journal, and a model of it."""


LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
TestEngine = seed(SEED)(EngineMachine).TestCase
TestEngine.pytestmark = [pytest.mark.timeout(7200 if LONG else 600)]


@pytest.mark.skipif(not LONG, reason="counts the steps of HYPOTHESIS_PROFILE=long")
def test_the_long_profile_takes_its_steps() -> None:
    print(f"{Stage.steps:,} steps")
    assert Stage.steps >= 200_000
