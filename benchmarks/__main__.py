"""Run the benchmarks, all or those named; each writes its tables into its own README."""

import argparse
import importlib
from pathlib import Path

NAMES = sorted(path.parent.name for path in Path(__file__).parent.glob("*/run.py"))
RUNS, QUICK_RUNS = 4000, 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--runs", type=int, default=RUNS, help="simulated rollouts for each number")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_RUNS} runs, printed only: to see that it runs"
    )
    wanted = parser.parse_args()
    if unknown := set(wanted.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if wanted.runs < QUICK_RUNS:
        parser.error(f"--runs must be at least {QUICK_RUNS}")
    for name in wanted.names or NAMES:
        print(f"── {name}", flush=True)
        run = importlib.import_module(f"benchmarks.{name}.run")
        run.main(QUICK_RUNS if wanted.quick else wanted.runs, write=not wanted.quick)


if __name__ == "__main__":
    main()
