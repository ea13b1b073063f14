"""`python -m tests.chaos.planted`: plants each bug of the list in a copy of the sources, and lets `flashsale chaos` look for it.

Exit status 1 if a bug is not found within the faults, or a run could not be made. A run takes some minutes.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple

from tests.chaos.bugs import BUGS, Bug
from tests.chaos.copies import environment, plant, require_copy

FAULTS = 200
RUN_TIMEOUT_SECONDS = 3600.0
"""200 losses of Redis take 46 minutes on two cores."""
STOP_TIMEOUT_SECONDS = 120.0
VIOLATION = 1
OUTPUT_LINES = 15


class Outcome(NamedTuple):
    bug: Bug
    status: int
    faults: int = 0
    seconds: float = 0.0
    broken: Mapping[str, str] = MappingProxyType({})
    """The broken promises, each with its first detail."""
    trouble: str = ""

    @property
    def is_found(self) -> bool:
        return self.status == VIOLATION and bool(self.broken)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.planted", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", choices=[bug.name for bug in BUGS], help="only this bug; repeatable")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=FAULTS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes = []
    for bug in BUGS:
        if not options.only or bug.name in options.only:
            outcomes.append(look_for(bug, options.seed, options.faults))
            print(*_row(outcomes[-1]), sep="\n", flush=True)
    missed = [outcome.bug.name for outcome in outcomes if not outcome.is_found]
    print(
        f"{len(outcomes) - len(missed)} of {len(outcomes)} bugs were found",
        *([f"not found: {', '.join(missed)}"] if missed else []),
        sep="; ",
    )
    return 1 if missed else 0


def look_for(bug: Bug, seed: int, faults: int) -> Outcome:
    """Raises PlantError if the bug cannot be planted."""
    with tempfile.TemporaryDirectory(prefix=f"flashsale-{bug.name}-", ignore_cleanup_errors=True) as name:
        folder, report, log = Path(name, "copy"), Path(name, "report.json"), Path(name, "log")
        plant(bug, folder)
        require_copy(folder)
        kinds = ["--kinds", ",".join(bug.kinds)] if bug.kinds else []
        command = [sys.executable, "-m", "flashsale_cli", "chaos", "--seed", str(seed), "--faults", str(faults), *kinds]
        with log.open("w") as out:
            status = _run([*command, "--report", str(report)], folder, environment(folder) | {"TMPDIR": name}, out)
        if not report.exists():
            return Outcome(bug, status, trouble="\n".join(log.read_text().splitlines()[-OUTPUT_LINES:]))
        return outcome_of(bug, status, json.loads(report.read_bytes()))


def _run(command: Sequence[str], folder: Path, env: Mapping[str, str], out: IO[str]) -> int:
    """The exit status. What the command started is ended by the command itself, so it is never killed before it had time for that."""
    process = subprocess.Popen(command, env=env, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    try:
        return process.wait(RUN_TIMEOUT_SECONDS)
    except BaseException as error:
        process.terminate()
        process.wait(STOP_TIMEOUT_SECONDS)
        if isinstance(error, subprocess.TimeoutExpired):
            return process.returncode
        raise


def outcome_of(bug: Bug, status: int, report: Any) -> Outcome:
    broken: dict[str, str] = {}
    for violation in report["violations"]:
        broken.setdefault(violation["promise"], violation["detail"])
    return Outcome(bug, status, report["faults"], report["seconds"], broken)


def _row(outcome: Outcome) -> Iterator[str]:
    words = "found" if outcome.is_found else f"NOT FOUND, exit status {outcome.status}"
    yield f"{outcome.bug.name}: {words} after {outcome.faults} faults, {outcome.seconds:.0f} s {outcome.trouble}".rstrip()
    yield from (f"    {promise}: {detail}" for promise, detail in outcome.broken.items())


if __name__ == "__main__":
    sys.exit(main())
