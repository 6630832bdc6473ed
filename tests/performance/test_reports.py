"""A study of a thousand trials: its report, and its records from an MLflow server against one search of all its runs."""

import json
import os
import resource
import subprocess
import sys
import time

import made_up_study
import pytest
from servers import _mlflow, mlflow_server  # noqa: F401 (fixtures)

import reports
from bench import record, tracking

TRIALS = int(os.environ.get("FACEBENCH_BENCH_REPORTED", 1000))
SECONDS, MEMORY, RATIO = 20.0, 1e9, 2.0  # limits
_WRITE = "import sys, reports; print(reports.write(sys.argv[1]))"

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study's folder: what is tuned, and with the finalists and runs that are confirmed so many trials in all."""
    others = len(record.read_study(made_up_study.make(tmp_path_factory.mktemp("few"), seeds=5, trials=1))) - 3
    return made_up_study.make(tmp_path_factory.mktemp("runs"), seeds=5, trials=-(-(TRIALS - others) // 3))


@pytest.mark.benchmark(group="report of a thousand trials")
def test_report(benchmark, study, capsys):
    def write():
        subprocess.run([sys.executable, "-c", _WRITE, str(study)], check=True, capture_output=True)

    benchmark.pedantic(write, rounds=3, iterations=1)
    memory = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    trials, size = len(reports.read(study)), (study / "report" / "report.html").stat().st_size
    median = benchmark.stats.stats.median
    with capsys.disabled():
        print(
            f"\n{trials} trials: {median:.1f} s (limit {SECONDS:g}), {memory / 1e6:.0f} MB at most, {size / 1e6:.2f} MB"
        )
    assert trials >= TRIALS and median < SECONDS and memory < MEMORY


@pytest.mark.benchmark(group="records of a thousand trials from an MLflow server")
def test_records_from_mlflow(benchmark, study, mlflow_server, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FACEBENCH_RUNS", str(study.parent))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    facts = json.loads((study / "study.json").read_text()) | {"created": "2026", "hash": "h", "state": "finished"}
    record.write_text(study / "study.json", json.dumps(facts))
    tracking.sync(study.name, mlflow_server.url)
    of = tracking.client(mlflow_server.url)
    experiment = of.get_experiment_by_name(study.name).experiment_id
    searches, reads = [], []

    def turn():
        begun = time.perf_counter()
        found = of.search_runs([experiment], max_results=TRIALS + 100)
        searches.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        folder = tracking.records_from_mlflow(study.name, mlflow_server.url, tmp_path / str(len(reads)))
        back = record.read_study(folder)
        reads.append(time.perf_counter() - begun)
        assert len(back) == len(found) - 1 >= TRIALS

    benchmark.pedantic(turn, rounds=5, iterations=1, warmup_rounds=1)
    ratios = sorted(mine / other for mine, other in zip(reads, searches, strict=True))
    with capsys.disabled():
        print(f"\nread {reads[-1]:.1f} s, search {searches[-1]:.1f} s: {ratios[len(ratios) // 2]:.2f} x {ratios}")
    assert ratios[len(ratios) // 2] <= RATIO
