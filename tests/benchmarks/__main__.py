"""The benchmark suite: `python -m tests.benchmarks [--quick]`; see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.benchmarks import machine, report
from tests.benchmarks.driver import run
from tests.benchmarks.plan import cells
from tests.benchmarks.records import Records, from_json


def main() -> int:
    """Run what the arguments ask for; 1 if a cell failed."""
    arguments = _arguments()
    if arguments.render is not None:
        data = json.loads(arguments.render.read_text(encoding="utf-8"))
    else:
        data = _measured(arguments)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    records = Records([from_json(each) for each in data["records"]])
    print(report.as_text(records))
    if arguments.docs:
        from tests.benchmarks import pages

        for path in pages.write(data, records):
            print(f"wrote {path}")
    failed = [record for record in records.all if record.errors]
    return 1 if failed else 0


def _measured(arguments: argparse.Namespace) -> dict[str, object]:
    try:
        todo = cells(arguments.only, arguments.peers, arguments.quick)
    except ValueError as error:
        sys.exit(f"python -m tests.benchmarks: {error}")
    facts = machine.facts()
    repeats = arguments.repeats or (1 if arguments.quick else 5)
    began = time.time()
    records = run(todo, repeats, arguments.dir, lambda text: print(text, flush=True))
    return {
        "machine": facts,
        "quick": arguments.quick,
        "repeats": repeats,
        "began": time.strftime("%Y-%m-%d", time.gmtime(began)),
        "seconds": round(time.time() - began),
        "records": [record.as_json() for record in records],
    }


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure taskq and its peers. Servers and workers are started automatically.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="under 3 minutes: small counts, one repeat")
    add("--only", type=_names, default=[], metavar="SCENARIO,…", help="these scenarios")
    add("--peers", type=_names, default=[], metavar="NAME,…", help="these contenders")
    add("--repeats", type=int, metavar="N", help="interleaved rounds (default: 5; quick: 1)")
    add("--dir", type=Path, help="where the stores live (default: the temporary directory)")
    add("--json", type=Path, metavar="FILE", help="write the records to FILE")
    add("--docs", action="store_true", help="write tables and chart of docs/benchmarks.md")
    add("--render", type=Path, metavar="FILE", help="measure nothing: show the records of FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
