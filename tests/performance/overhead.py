"""Trials that cost nothing, run by facebench's driver, by bare Ray tasks and by Ray Tune: what is left is the harness."""

import io
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps

import pytest

from bench import index, places, record, tracking
from bench.plain import Progress, Result
from sweeps import opening, plan, session, tuner
from sweeps.cell import Cell
from sweeps.driver import Driver
from sweeps.pool import RayPool
from sweeps.progress import Board
from sweeps.study import Study
from sweeps.window import MlflowWindow

SLOTS = 2
SPACE = {
    "learning_rate": ("log", 0.01, 0.3),
    "margin": ("linear", 0.0, 0.5),
    "weight_decay": ("log", 5e-5, 5e-3),
}  # as the driver searches it


class NoWindow:
    """Nobody is shown anything."""

    def send(self, folder):
        pass

    def close(self, state):
        return ""


def trivial(trial, folder):
    """Two yields: an epoch and the result."""
    metrics = {"train/loss": 1.0, "dev/accuracy": 1 - abs(trial.learning_rate - 0.1)}
    yield Progress(1, 1, metrics, 0.1)
    yield Result(metrics, cost={"train_seconds": 0.1})


def two_yields(number):
    yield number
    yield number


def bare(count: int) -> float:
    """Seconds of `count` streaming tasks of two yields each, as few lines of Ray as can be."""
    import ray

    task = ray.remote(two_yields).options(
        num_returns="streaming", _generator_backpressure_num_objects=1, max_retries=0, num_cpus=1
    )
    begun = time.perf_counter()
    left, live = count, []
    while left or live:
        while left and len(live) < SLOTS:
            live.append(task.remote(left))
            left -= 1
        ready, _ = ray.wait(live, num_returns=1, timeout=10)
        for stream in ready:
            try:
                ray.get(next(stream))
            except StopIteration:
                live.remove(stream)
    return time.perf_counter() - begun


def ours(pool: RayPool, count: int, name: str, *, stores: bool) -> float:
    """Seconds of a search of `count` trials and of the one that is confirmed.

    Args:
        stores: Optuna on SQLite under TPE and MLflow on SQLite, until MLflow has everything; else a random search in
            memory and no MLflow.
    """
    study = _study(name, count, "tpe" if stores else "random")
    folder = places.study_folder(name)
    folder.mkdir(parents=True)
    with session._storage(study) if stores else nullcontext() as store:
        facts = opening._begin(study, folder, "overhead", store)
        search = session._tuner(study, "cnn4", "lmcl", 1, store)
        cells = [Cell(study, "cnn4", "lmcl", search)]
        window = MlflowWindow(name, folder, apart=True) if stores else NoWindow()
        driver = Driver(study, folder, cells, pool, window, Board(study, cells, io.StringIO()))
        while stores and window._mirror is None:  # MLflow's import, once a sweep: `tune` has it behind it too
            time.sleep(0.05)
        begun = time.perf_counter()
        opening.save(driver, facts, "running")
        for _ in driver.run():
            opening.save(driver, facts, "running")
        opening.save(driver, facts, "finished")
        assert window.close("finished") == ""
        taken = time.perf_counter() - begun
    done = index.entries(folder)
    assert len(done) == count + 1 and all(one.state == "finished" for one in done)
    return taken


def tune(count: int, name: str, storage, uri: str, folder: str) -> float:
    """Seconds of the same search by Ray Tune, reusing its actors, with Optuna in `storage` and MLflow at `uri`."""
    import optuna
    from optuna.distributions import FloatDistribution
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    space = {key: FloatDistribution(low, high, log=kind == "log") for key, (kind, low, high) in SPACE.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(seed=0, multivariate=True, constant_liar=True)
        search = OptunaSearch(
            space, metric="dev/accuracy", mode="max", storage=storage, study_name=name, sampler=sampler
        )
        callback = _mlflow_callback(name, uri)
        asked = tune.TuneConfig(search_alg=search, num_samples=count, max_concurrent_trials=SLOTS, reuse_actors=True)
        told = tune.RunConfig(name=name, storage_path=folder, callbacks=[callback], verbose=0)
        begun = time.perf_counter()
        found = tune.Tuner(_trainable(), tune_config=asked, run_config=told).fit()
        taken = time.perf_counter() - begun
    assert len(found) == count and not found.errors
    return taken


def _trainable():
    def train(config):  # a closure, so that it travels to the workers whole
        from ray import tune

        tune.report({"train/loss": 1.0, "dev/accuracy": 1 - abs(config["learning_rate"] - 0.1)})

    return train


def _mlflow_callback(name: str, uri: str):
    """What a run of ours holds, without its files: tags, parameters, a batch an epoch, a batch and tags at the end."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
    from ray.tune import Callback

    described = tracking.flat(next(iter(plan.defaults(_study(name, 1, "tpe", defaults=1), "cnn4", "lmcl"))).plain())

    class Log(Callback):
        def __init__(self):
            self.client = MlflowClient(tracking_uri=uri)
            self.experiment = self.client.create_experiment(name)
            self.parent = self.client.create_run(self.experiment).info.run_id
            self.runs = {}

        def on_trial_start(self, iteration, trials, trial, **info):
            tags = {key: "tune" for key in ("study", "stage", "role", "backbone", "loss", "seed", "label")}
            tags |= {"mlflow.parentRunId": self.parent, "mlflow.runName": trial.trial_id}
            run = self.runs[trial.trial_id] = self.client.create_run(self.experiment, tags=tags).info.run_id
            params = described | trial.config
            self.client.log_batch(run, params=[Param(tracking.name(k), str(v)) for k, v in params.items()])

        def on_trial_result(self, iteration, trials, trial, result, **info):
            now = int(1000 * time.time())
            metrics = [Metric(key, result[key], now, 1) for key in ("train/loss", "dev/accuracy") if key in result]
            self.client.log_batch(self.runs[trial.trial_id], metrics=metrics)

        def on_trial_complete(self, iteration, trials, trial, **info):
            run = self.runs[trial.trial_id]
            self.client.log_batch(run, tags=[RunTag(f"facebench.{key}", "x") for key in ("state", "reason", "cost")])
            self.client.set_terminated(run)

    return Log()


def _study(name: str, trials: int, sampler: str, defaults: int = 0) -> Study:
    """Nothing but a search and the confirmation of its winner."""
    return Study.model_validate(
        {
            "name": name,
            "data": {"name": "digits"},
            "backbones": ["cnn4"],
            "losses": {"lmcl": {"fixed": {"margin_warmup_fraction": 0.25}}},
            "reference": "lmcl",
            "tune": {"trials": trials, "epochs": 1, "sampler": sampler, "finalists": 1, "finalist_seeds": 0},
            "confirm": {"seeds": 1, "epochs": 1},
            "untrained": False,
            "again": False,
            "default_seeds": defaults,
            "protocols": [{"name": "lfw"}],
        }
    )


def alone(pool: RayPool, count: int, name: str) -> float:
    """`ours` with nothing but the pool and the records: what Optuna takes in memory is the search's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_tuner", _in_memory)
        return ours(pool, count, name, stores=False)


def _in_memory(study: Study, backbone: str, label: str, search: int, store) -> tuner.Tuner:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return tuner.Tuner(study.name, None, SPACE, seed="0", sampler="random", trials=study.tuning.trials, epochs=1)


@contextmanager
def parts() -> Iterator[dict[str, float]]:
    """Seconds of each part of the harness, while this holds; those of MLflow pass in its own thread."""
    timed: list[tuple[str, object, str]] = [
        ("ask", tuner.Tuner, "ask"),
        ("report, prune", tuner.Tuner, "report"),
        ("tell", tuner.Tuner, "tell"),
        ("record: start", record, "start"),
        ("record: append", record.Journal, "append"),
        ("record: finish", record, "finish"),
        ("record: index", index, "enter"),
        ("study.json", opening, "save"),
        ("pool: submit", RayPool, "submit"),
        ("pool: wait for an event", RayPool, "next"),
        ("MLflow: log (its process)", tracking.Apart, "send"),
        ("MLflow: wait at the end", MlflowWindow, "close"),
    ]
    spent: dict[str, float] = defaultdict(float)
    with pytest.MonkeyPatch.context() as patch:
        for label, owner, name in timed:
            patch.setattr(owner, name, _timed(getattr(owner, name), label, spent))
        yield spent


def _timed(call: Callable, label: str, spent: dict[str, float]) -> Callable:
    @wraps(call)
    def wrapped(*given, **named):
        begun = time.perf_counter()
        try:
            return call(*given, **named)
        finally:
            spent[label] += time.perf_counter() - begun

    return wrapped
