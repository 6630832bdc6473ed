"""What the harness costs: 200 trials that cost nothing, two at a time, ours and others' in turns; limits are those of ratios."""

import os
import statistics
from contextlib import closing
from pathlib import Path

import overhead
import pytest

from bench import tracking
from sweeps import tuner
from sweeps.pool import RayPool

TRIALS = int(os.environ.get("FACEBENCH_BENCH_TRIALS", 200))
TURNS = int(os.environ.get("FACEBENCH_BENCH_TURNS", 3))
WARM = 20  # trials before the clock runs: workers start, modules are imported

pytestmark = [pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")]  # Ray Tune's


@pytest.fixture(scope="module")
def pool():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AIR_NEW_OUTPUT", "0")
        patch.setenv(
            "PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep
        )  # for the workers to import `overhead`
        opened = RayPool("local", slots=overhead.SLOTS, run=overhead.trivial)
        yield opened
        opened.close()


def compared(benchmark, show, title, ours, theirs, limit):
    """Both in turns; prints the medians, the ratio with its spread and the parts of ours, and holds the ratio to its limit."""
    taken, others, spent = [], [], {}

    def turn():
        theirs(WARM)
        others.append(theirs(TRIALS))
        ours(WARM)
        with overhead.parts() as spent_now:
            taken.append(ours(TRIALS))
        for part, seconds in spent_now.items():
            spent[part] = spent.get(part, 0.0) + seconds / TURNS

    benchmark.pedantic(turn, rounds=TURNS, iterations=1)
    ratios = [mine / other for mine, other in zip(taken, others, strict=True)]
    mine, ratio = statistics.median(taken), statistics.median(ratios)
    lines = [
        f"\n{title}: {TRIALS} trials, {TURNS} turns",
        f"  ours   {1000 * mine / TRIALS:8.1f} ms a trial",
        f"  theirs {1000 * statistics.median(others) / TRIALS:8.1f} ms a trial",
        f"  ratio  {ratio:8.2f} ({min(ratios):.2f} to {max(ratios):.2f}), limit {limit:g}",
    ]
    for part, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        lines.append(f"    {part:26} {seconds:7.2f} s {100 * seconds / mine:5.1f} %")
    with show.disabled():
        print("\n".join(lines), flush=True)
    benchmark.extra_info.update(ratio=ratio, ratios=ratios, parts=spent)
    assert ratio <= limit


@pytest.mark.benchmark(group="harness: pool and records alone, against bare Ray tasks")
def test_alone(benchmark, capsys, pool):
    turns = iter(range(100))

    def ours(count):
        return overhead.alone(pool, count, f"alone-{next(turns)}")

    compared(benchmark, capsys, "pool and records, against bare Ray tasks", ours, overhead.bare, 3)


@pytest.mark.benchmark(group="harness: with SQLite and MLflow, against Ray Tune")
def test_with_stores(benchmark, capsys, pool, tmp_path):
    """Ray Tune has the same database (`tuner.storage`) and logs the same by a callback."""
    turns = iter(range(100))
    tracking.client(tracking.uri())  # its tables take seconds to make

    def ours(count):
        return overhead.ours(pool, count, f"ours-{next(turns)}", stores=True)

    def theirs(count):
        name = f"tune-{next(turns)}"
        with closing(tuner.storage(f"sqlite:///{tmp_path / name}.db")) as storage:
            return overhead.tune(count, name, storage, tracking.uri(), str(tmp_path / "tune"))

    compared(benchmark, capsys, "with SQLite and MLflow, against Ray Tune + OptunaSearch", ours, theirs, 0.5)
