"""Optuna's database by the row: what is read and written is what Optuna itself reads and writes."""

import contextlib
import datetime
import math
import sqlite3

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState, create_trial

from sweeps import rows, tuner

TABLES = {name for name in models.BaseModel.metadata.tables if name != "version_info"}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Optuna's own storage and ours on one database, with a study of every kind of trial and another study beside it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('rows') / 'optuna.db'}"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="study", storage=url)
    other = optuna.create_study(study_name="other", storage=url, directions=["minimize", "maximize"])
    space = {
        "rate": FloatDistribution(0.01, 0.3, log=True),
        "count": IntDistribution(1, 9),
        "kind": CategoricalDistribution(("a", "b", 3)),
    }
    for number in range(12):
        params = {"rate": 0.02 + number / 100, "count": 1 + number % 9, "kind": ("a", "b", 3)[number % 3]}
        steps = {1: 0.1, 2: math.nan, 4: math.inf, 3: -math.inf}
        state = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)[number % 3]
        study.add_trial(
            create_trial(
                state=state,
                value=(math.inf, -math.inf, 0.5)[number % 3] if state is not TrialState.FAIL else None,
                params=params,
                distributions=space,
                intermediate_values=steps if number % 2 else {},
                user_attrs={"why": ["x", number]},
                system_attrs={"mark": {"n": number}},
            )
        )
        other.add_trial(
            create_trial(
                values=[number, -number], params={"rate": 0.1}, distributions={"rate": FloatDistribution(0, 1)}
            )
        )
    study.ask(space)
    study.ask()
    return RDBStorage(url), rows.Rows(url), study._study_id, other._study_id


def seen(trials):
    """As text, for nan is not itself; whatever the order of a mapping."""
    return [[(key, _text(value)) for key, value in sorted(vars(trial).items())] for trial in trials]


def _text(value):
    return repr(sorted(value.items()) if isinstance(value, dict) else value)


@pytest.mark.parametrize("after", [-1, 0, 5, 20, 1000])
@pytest.mark.parametrize("named", [set(), {1}, {1, 7, 26}, set(range(1, 30))])
@pytest.mark.parametrize("states", [None, (TrialState.COMPLETE,), (TrialState.RUNNING, TrialState.FAIL)])
def test_trials_are_those_that_optuna_reads(both, after, named, states):
    """Optuna names only trials of the study it asks for."""
    theirs, ours, *studies = both
    for study in studies:
        own = {trial._trial_id for trial in theirs.get_all_trials(study)} & named
        expected = theirs._get_trials(study, states, own, after)
        assert seen(ours._get_trials(study, states, own, after)) == seen(expected)


def test_one_trial_is_the_one_that_optuna_reads(both):
    theirs, ours, *studies = both
    for study in studies:
        ids = [trial._trial_id for trial in theirs.get_all_trials(study)]
        assert len(ids) >= 12
        assert seen(map(ours.get_trial, ids)) == seen(map(theirs.get_trial, ids))
    assert isinstance(ours.get_trial(1).datetime_start, datetime.datetime)


def test_more_trials_than_a_query_names_are_all_read(both, monkeypatch):
    theirs, ours, study, _ = both
    monkeypatch.setattr(rows, "MOST", 3)
    assert seen(ours._get_trials(study, None, set(), -1)) == seen(theirs._get_trials(study, None, set(), -1))


def test_what_is_not_there_is_refused_as_by_optuna(both):
    for storage in both[:2]:
        with pytest.raises(KeyError):
            storage.get_trial(999)
        with pytest.raises(KeyError):
            storage._get_trials(999, None, set(), -1)


def test_a_new_trial_is_written_as_optuna_writes_it(tmp_path):
    space = {"rate": FloatDistribution(0.01, 0.3, log=True), "kind": CategoricalDistribution(("a", "b"))}
    running = create_trial(
        state=TrialState.RUNNING,
        params={"rate": 0.1, "kind": "b"},
        distributions=space,
        system_attrs={"mark": {"n": 1}},
    )
    waiting = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": {"rate": 0.1}})
    ended = create_trial(value=0.5, user_attrs={"why": "x"}, intermediate_values={1: 0.5})
    tables = []
    for kind in (RDBStorage, rows.Rows):
        storage = kind(f"sqlite:///{tmp_path / kind.__name__}.db")
        there = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "study")
        for template in (running, waiting, ended, running):
            storage.create_new_trial(there, template)
        with storage.engine.connect() as connection:
            tables.append([connection.exec_driver_sql(f"select * from {table}").all() for table in sorted(TABLES)])
    assert tables[0] == tables[1] and sum(map(len, tables[0])) == 16


def test_a_new_sqlite_file_keeps_a_write_ahead_log(tmp_path):
    store = tuner.storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as file:
        assert file.execute("pragma journal_mode").fetchone() == ("wal",)
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2  # full: a flush for each change
    store.close()
