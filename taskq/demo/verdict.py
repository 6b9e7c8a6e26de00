"""The claims of the demo, each with what was found."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskq.cli.support.output import table


@dataclass(frozen=True)
class Check:
    """One claim: `found` must satisfy what `expected` says, and does if `holds`."""

    what: str
    found: object
    expected: str
    holds: bool


@dataclass
class Verdict:
    """All claims of a demo, in the order in which they were looked at."""

    claims: list[Check] = field(default_factory=list)

    def equal(self, what: str, found: object, expected: object) -> None:
        """Claim that two values are equal."""
        self.claims.append(Check(what, found, _text(expected), found == expected))

    def at_least(self, what: str, found: int, least: int) -> None:
        """Claim that a number is not smaller."""
        self.claims.append(Check(what, found, f"≥ {least:,}", found >= least))

    def at_most(self, what: str, found: int, most: int) -> None:
        """Claim that a number is not larger."""
        self.claims.append(Check(what, found, f"≤ {most:,}", found <= most))

    @property
    def holds(self) -> bool:
        """Whether all claims are true."""
        return bool(self.claims) and all(claim.holds for claim in self.claims)

    def __str__(self) -> str:
        rows = [
            (claim.what, _text(claim.found), claim.expected, "ok" if claim.holds else "FALSE")
            for claim in self.claims
        ]
        return table(("what happened", "number", "claimed", ""), rows)

    def as_data(self) -> list[dict[str, object]]:
        """For `--json`."""
        return [
            {
                "claim": claim.what,
                "found": claim.found,
                "expected": claim.expected,
                "holds": claim.holds,
            }
            for claim in self.claims
        ]


def _text(found: object) -> str:
    if isinstance(found, bool):
        return "yes" if found else "no"
    return f"{found:,}" if isinstance(found, int) else str(found)
