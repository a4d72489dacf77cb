"""Tidegate's story on a real cluster: `make demo`, and `make demo-down` after it."""

import argparse
import signal
import sys
import time

import matplotlib as mpl
from hack.demo import report, stage
from hack.demo.play import ActFailedError, Play
from hack.demo.screen import Screen
from hack.demo.stage import Stage
from hack.demo.watch import OutOfSightError, Watch
from hack.target import ROOT, TargetError, existing, is_foreign, reach
from rich.console import Console

REPORT = ROOT / "demo-report" / "report.html"
INTRODUCTION = """\
Is a tumour malignant? 569 of them were measured (30 features, the UCI breast-cancer table). Some
rows train models; the others are sent as requests, and their labels come back as feedback."""


def up(screen: Screen) -> int:
    """Play all acts; 0 only if each ended as told."""
    target = reach("default", has_node=True)
    stage.remember(target)
    started = time.monotonic()
    place = Stage(target)
    screen.tell(INTRODUCTION)
    with screen.console.status("installing Tidegate by its chart"):
        place.install()
    with screen.console.status("the object store, the tables, the Model and its policy"):
        place.furnish()
    screen.tell(f"Tidegate is installed; the stage is set ({time.monotonic() - started:.0f} s).")
    watch = Watch(target.environment)
    watch.look()  # a report has at least what was there at the start
    play = Play(place, watch, screen)
    failure = ""
    try:
        play.run()
    except (ActFailedError, OutOfSightError, TargetError) as error:
        failure = str(error)
    place.end_clients()
    screen.console.print()
    report.show(screen, watch.history, play.endings, play.accuracy)
    report.write(REPORT, watch.history, play.endings, play.accuracy, failure)
    screen.tell(f"Report: {REPORT.relative_to(ROOT)}    Time: {time.monotonic() - started:.0f} s")
    pointed = "" if is_foreign("default") else 'eval "$(hack/cluster/cluster env)"; '
    look = "kubectl get models,driftpolicies,trainingjobs -n tidegate-demo"
    screen.tell(f"To look around: {pointed}{look}")
    screen.tell("To remove all of it: make demo-down")
    if failure:
        screen.tell(f"Not as told: {failure}", "bold red")
        return 1
    screen.tell("Each act ended as told.", "bold green")
    return 0


def down(screen: Screen) -> int:
    """Remove all that the demo made."""
    with screen.console.status("removing the demo"):
        found = existing("default")
        # A cluster that was made for the demo goes as a whole, whatever state it is in.
        if found is not None and (is_foreign("default") or not stage.is_remembered()):
            Stage(found).clear()
    stage.forget()
    screen.tell("The demo is gone.")
    return 0


def main() -> int:
    """Run one command; Ctrl-C leaves nothing running."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("command", choices=("up", "down"))
    command = parser.parse_args().command
    mpl.use("svg")
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(ending, signal.default_int_handler)
    screen = Screen(Console(highlight=False))
    try:
        return up(screen) if command == "up" else down(screen)
    except (OutOfSightError, TargetError) as error:
        screen.tell(f"error: {error}", "red")
        return 1
    except KeyboardInterrupt:
        screen.tell("\ninterrupted: removing all that was started", "yellow")
        try:
            down(screen)
        except TargetError as error:
            screen.tell(f"error: {error}\nto try again: make demo-down", "red")
        return 130


if __name__ == "__main__":
    sys.exit(main())
