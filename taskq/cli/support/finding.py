"""What one check of `taskq doctor` has found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What one check found. `fix`: what to do about it; empty where all is well."""

    check: str
    text: str
    fix: str = ""

    @property
    def wrong(self) -> bool:
        """Whether there is something to do."""
        return bool(self.fix)

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"  {'WRONG' if self.wrong else 'ok':<6}{self.check}: {self.text}"]
        return [*lines, f"        fix: {self.fix}"] if self.fix else lines

    def as_data(self) -> dict[str, object]:
        """For `--json`."""
        return {"check": self.check, "wrong": self.wrong, "text": self.text, "fix": self.fix}
