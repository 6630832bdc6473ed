"""The soak: a real local sweep whose drivers and workers are killed -9 at random moments, again and again; what was lost?

    python tests/soak.py [--minutes 10] [--seed N] [--runs runs]

Sweeps of 12 trials (tests/counted.py) run on a local Ray with two slots, Optuna and MLflow on SQLite, one after the other until
the time is over; each driver is killed at a random moment, each second session a worker too, and the same command goes
on. A sweep that was killed `KILLS` times is left alone, then its epochs are counted in files and databases. The table goes to
stdout, the counts into RUNS/soak.json; exit code 1 where anything was lost, repeated, past its end or left RUNNING.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import counted

KILLS = 6  # of one sweep's driver
PATIENCE = 180.0  # seconds that an undisturbed session may take
STUDY = counted.STUDY | {"data": {"name": "digits", "nap": 0.4}}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--minutes", type=float, default=10.0)
    asked.add_argument("--seed", type=int, default=None)
    asked.add_argument("--runs", type=Path, default=Path(os.environ.get("FACEBENCH_RUNS", "runs")))
    given = asked.parse_args()
    seed = counted.seed() if given.seed is None else given.seed
    sums = soak(given.minutes * 60, random.Random(seed)) | {"seed": seed, "minutes": given.minutes}
    given.runs.mkdir(parents=True, exist_ok=True)
    (given.runs / "soak.json").write_text(json.dumps(sums, indent=1) + "\n")
    for name, value in sums.items():
        print(f"{name:16} {value}")
    wrong = {name: sums[name] for name in ("failed_sessions", *counted.Counts.must_be_none()) if sums[name]}
    sys.exit(f"the soak found: {wrong}" if wrong else 0)


def soak(seconds: float, dice: random.Random) -> dict[str, int]:
    """Sweeps until the time is over, the last one to its end; the sums over all."""
    end = time.monotonic() + seconds
    sums: Counter[str] = Counter(
        dict.fromkeys(("sweeps", "sessions", "driver_kills", "worker_kills", "failed_sessions"), 0)
    )
    while time.monotonic() < end:
        runs = Path(tempfile.mkdtemp(prefix="soak-"))
        sweep(runs, dice, sums, end)
        counts = counted.count(runs)
        sums["sweeps"] += 1
        sums.update(counts.plain())
        if counts.wrong:
            print(f"kept for a look: {runs}: {counts}", flush=True)
        else:
            shutil.rmtree(runs)
    return dict(sums)


def sweep(runs: Path, dice: random.Random, sums: Counter[str], end: float) -> None:
    """One sweep, killed some times, then to its end."""
    kills = 0
    while True:
        sums["sessions"] += 1
        process = start(runs)
        try:
            if kills == KILLS or time.monotonic() > end:
                sums["failed_sessions"] += process.wait(PATIENCE) != 0
                return
            kills += 1
            if kills % 2:
                sums["worker_kills"] += kill_worker(process, runs, dice)
            # From the first instants (imports, study.json, Ray's start) to the middle of trials.
            with contextlib.suppress(subprocess.TimeoutExpired):
                sums["failed_sessions"] += process.wait(dice.choice([1, 8, 16]) * dice.random()) != 0
                return  # it was at its end before
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
                sums["driver_kills"] += 1


def start(runs: Path) -> subprocess.Popen:
    given = {"runs": str(runs), "study": STUDY, "address": "local"}
    with (runs / "log").open("a") as log:
        return subprocess.Popen([sys.executable, counted.__file__, json.dumps(given)], stdout=log, stderr=log)


def kill_worker(driver: subprocess.Popen, runs: Path, dice: random.Random) -> int:
    """Kill the process that trained the next epoch; 0 where none comes before the sweep's end."""
    known, until = len(counted.epochs(runs)), time.monotonic() + PATIENCE
    while driver.poll() is None and time.monotonic() < until:
        if len(trained := counted.epochs(runs)) > known:
            time.sleep(0.4 * dice.random())
            with contextlib.suppress(ProcessLookupError):  # a worker that was idle may be gone
                os.kill(trained[-1][2], signal.SIGKILL)
                return 1
        time.sleep(0.02)
    return 0


if __name__ == "__main__":
    main()
