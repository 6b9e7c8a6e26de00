"""The attempts to reach a broker: what their errors say."""

from __future__ import annotations

import pytest

from taskq.backends.attempts import Attempts
from taskq.errors import BrokerTimeout
from tests.kit.messages import naming


def test_a_broker_that_does_not_answer_names_a_remedy() -> None:
    def silent(left: float) -> None:
        raise TimeoutError

    attempts = Attempts("unix:there", 0.0)
    with pytest.raises(BrokerTimeout, match=naming("unix:there", "taskq doctor")):
        attempts.open(silent, lambda: None)
    with pytest.raises(BrokerTimeout, match=naming("unix:there", "30 s", "taskq doctor")):
        attempts.timed_out(30.0)
