"""The exception for environment variables with invalid values."""

from __future__ import annotations


class InvalidVariable(ValueError):
    """An environment variable of taskq has an invalid value; the message names both."""
