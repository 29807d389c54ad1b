"""Measures everything and writes results.json and the table of README.md. Run by `make bench`.

With names it measures these, and leaves the lines of the others.
"""

import argparse
import importlib
import json
import os
import platform
from dataclasses import fields
from pathlib import Path

from benchmarks.result import Result, table

HERE = Path(__file__).parent
BENCHES = (
    "bench_import",
    "bench_reading",
    "bench_grid",
    "bench_transfer",
    "bench_training",
    "bench_cache",
    "bench_rpc",
    "bench_scheduling",
)
START = "<!-- results: written by make bench -->\n"
END = "<!-- end of results -->"


def main() -> None:
    """Runs the benches that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benches", nargs="*", choices=[*BENCHES, []], help="default: all")
    names = parser.parse_args().benches or BENCHES
    results: list[Result] = []
    for name in names:
        print(f"{name} …", flush=True)
        measured = importlib.import_module(f"benchmarks.{name}").measure()
        print(table(measured), flush=True)
        results += measured
    write(results if len(names) == len(BENCHES) else beside(results))


def beside(results: list[Result]) -> list[Result]:
    """What was measured before, with these in the places of their lines."""
    stored = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    names = [each.name for each in fields(Result)]
    before = [Result(**{name: row[name] for name in names}) for row in stored]
    new = {(each.name, each.unit): each for each in results}
    return [new.pop((each.name, each.unit), each) for each in before] + [*new.values()]


def write(results: list[Result]) -> None:
    """Writes the machine-readable list and the table between the README's marks."""
    (HERE / "results.json").write_text(
        json.dumps([result.as_json() for result in results], indent=2) + "\n", encoding="utf-8"
    )
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    cores = len(os.sched_getaffinity(0))
    machine = f"Python {platform.python_version()}, {platform.machine()}, cores: {cores}."
    readme.write_text(f"{before}{START}{table(results)}\n\n{machine}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
