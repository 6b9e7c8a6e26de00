"""How long Hypothesis looks: `HYPOTHESIS_PROFILE=long` for 200,000 steps and more.

Each run has a seed, which a failure prints; `HYPOTHESIS_SEED=N` repeats that run.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

COMMON = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("normal", COMMON, max_examples=150, stateful_step_count=60)
settings.register_profile("long", COMMON, max_examples=1150, stateful_step_count=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "normal"))
SEED = int(os.environ.get("HYPOTHESIS_SEED") or int.from_bytes(os.urandom(4), "big"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Told by pytest when the test fails."""
    print(f"HYPOTHESIS_SEED={SEED} repeats this run")
