"""What an environment variable with a wrong value raises."""

from __future__ import annotations


class InvalidVariable(ValueError):
    """An environment variable of taskq has a value that it cannot have; the sentence names it."""
