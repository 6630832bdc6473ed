"""Replicated tuning: each search as a study of its own would do it, told apart everywhere, resumed, within its budget."""

import json

import fake_trial
import pytest
from made_up_drivers import drivers  # noqa: F401 (fixture)
from made_up_shared import RANDOM, check_whole, study  # noqa: F401 (fixture)
from made_up_sweep import make, no_mlflow, numbers, of, sweep  # noqa: F401 (fixtures)

import sweeps
from bench import _mlflow_run, index, places
from bench.errors import RequestError
from bench.plain import Trial
from bench.record import Record
from sweeps import budget, early_stop, opening, plan, reading
from sweeps.cell import Cell
from sweeps.progress import planned

TUNE = {"trials": 4, "epochs": 4, "finalists": 2, "finalist_seeds": 1}
SMALL = {"confirm": {"seeds": 2, "epochs": 2}}


def replicated(searches=3, seed=0, name="study", **changes):
    return make(name, tune=TUNE | {"searches": searches, "seed": seed}, **SMALL | changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_RUNS", str(tmp_path_factory.mktemp("searches")))
        patch.setattr(sweeps.session, "MlflowWindow", no_window())
        records, _ = sweep(replicated())
        yield records, sweeps.status("study"), json.loads((places.study_folder("study") / "study.json").read_text())


def no_window():
    from made_up_sweep import NoWindow

    return NoWindow


def shown(records: list[Record], search: int) -> set:
    """What the trials of a search are, but for the study's name and the search's number."""
    apart = {"study", "search"}
    return {
        json.dumps({key: value for key, value in one.trial.plain().items() if key not in apart}, sort_keys=True)
        for one in records
        if one.trial.search == search and one.trial.role not in ("default", "untrained")
    }


def test_one_search_is_the_default_and_changes_no_id_nor_digest_nor_name():
    said, usual = replicated(1), make(tune=TUNE, **SMALL)
    assert reading.digest(said) == reading.digest(usual) != reading.digest(replicated(3))
    assert Trial().id == Trial(search=1).id != Trial(search=2).id
    assert [opening.search_name(usual, *place) for place in plan.arms(usual)] == [
        "study/cnn4/softmax",
        "study/cnn4/lmcl",
    ]
    assert [opening.search_name(said, *place) for place in plan.arms(replicated(3))][3:] == [
        "study/cnn4/lmcl",
        "study/cnn4/lmcl #2",
        "study/cnn4/lmcl #3",
    ]


def test_the_nth_search_does_what_a_study_with_its_seed_does(done, monkeypatch, tmp_path):
    records, _, _ = done
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path))
    for number in (1, 2, 3):
        alone, _ = sweep(make("alone" + str(number), tune=TUNE | {"seed": number - 1}, **SMALL))
        assert shown(records, number) == shown(alone, 1), "parameters, winner, finalists, seeds"
    assert len({one.trial.id for one in records}) == len(records)


def test_each_search_has_its_budget_its_winner_and_seeds_of_its_own(done):
    records, status, facts = done
    for loss in ("softmax", "lmcl"):
        for search in (1, 2, 3):
            mine = [one for one in records if (one.trial.name, one.trial.search) == (loss, search)]
            assert sum(one.epochs for one in of(mine, "search", loss)) <= plan.budget(replicated())
            assert len(of(mine, "search", loss)) >= 4
            winner = {one.trial.learning_rate for one in of(mine, "tuned", loss)}
            assert len(of(mine, "tuned", loss)) == 2 and len(winner) == 1
            assert len(of(mine, "again", loss)) == (2 if loss == "softmax" else 0)
            assert len(of(mine, "default", loss)) == (2 if search == 1 else 0), "there is one untuned default"
    seeds = [(one.trial.search, one.trial.seed) for one in of(records, "tuned")]
    assert len({seed for _, seed in seeds}) == len(seeds) == 6
    assert len([one for one in records if one.trial.role == "untrained"]) == 2
    assert {cell["winner"] is not None for cell in facts["cells"].values()} == {True}
    assert [name for name in facts["cells"] if "lmcl" in name] == ["cnn4/lmcl", "cnn4/lmcl #2", "cnn4/lmcl #3"]
    assert {one["search"] for one in status["trials"]} == {1, 2, 3}


def test_what_was_planned_was_trained_and_what_is_least_is_counted(done):
    records, status, _ = done
    summary = status["summary"]
    assert summary["planned_epochs"] == summary["epochs"] == sum(one.epochs for one in records)
    study = replicated()
    whole = sum(planned(study, label, first=search == 1) for _, label, search in plan.places(study))
    assert whole >= summary["epochs"]
    # Of each loss: 3 searches of a trial, its finalist and 2 confirmations, and 2 untuned rows; 3 x 2 of the A/A row.
    assert plan.least_trials(study) == 2 * (3 * (1 + 1 + 2) + 2) + 6
    assert next(says for _, says in budget.wrong(replicated(budget={"max_trials": 33}))).startswith(
        "got 33, expected at least 34"
    )


@pytest.mark.parametrize("after", [5, 40, 90])
def test_an_interrupted_study_ends_as_an_uninterrupted_one(done, after, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        sweep(replicated(), run=fake_trial.interrupted(after))
    records, _ = sweep(replicated())
    assert numbers(records) == numbers(done[0])


def test_max_trials_ends_the_searches_alike_and_confirms_all():
    records, _ = sweep(replicated(budget={"max_trials": 40}))
    assert sum(one.trial.epochs > 0 for one in records) <= 40
    counts = [
        len([one for one in of(records, "search", loss) if one.trial.search == search])
        for loss in ("softmax", "lmcl")
        for search in (1, 2, 3)
    ]
    assert max(counts) - min(counts) <= 1 <= min(counts)
    assert len(of(records, "tuned")) == len(of(records, "tuned", "softmax")) == 6


def test_a_search_is_not_given_up_for_another_of_its_own_loss():
    """That other losses are better is a reason; that its twin was luckier is what the twins are there to show."""
    study = make(tune=TUNE | {"searches": 3, "early_stop": {}, "trials": 8})
    cells = [Cell(study, "cnn4", label, opening_tuner(study, label), search=search) for label, search in PLACES]
    for cell, level in zip(cells, (0.5, 0.9, 0.5), strict=True):
        for number in range(6):
            cell._figures.add(number, level + 0.001 * number)
    assert early_stop.reason(cells[0], cells[:2]) == ""
    assert "softmax reaches" in early_stop.reason(cells[0], [cells[0], renamed(cells[1])])


PLACES = [("lmcl", 1), ("lmcl", 2), ("softmax", 1)]


def renamed(cell):
    cell.label = cell.arm = "softmax"
    return cell


def opening_tuner(study, label):
    from sweeps.tuner import Tuner

    return Tuner("made up", None, plan.space(study, label), seed="0", trials=8, epochs=4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ("searches: 2", r"'tune.searches'.*got 2, expected 1 \(.*\) or at least 3"),
        ("searches: 0", r"'tune.searches'.*greater than or equal to 1"),
        ("searches: 3", r"losses.*'lmcl #2'|is what search 2 of 'lmcl' is called"),
    ],
)
def test_a_wrong_number_and_a_label_that_would_be_a_search_are_refused(changes, says):
    text = f"""\
name: tiny
data: {{name: digits}}
backbones: [cnn4]
losses: {{softmax: , lmcl: , "lmcl #2": {{loss: lmcl}}}}
tune: {{trials: 8, epochs: 4, {changes}}}
confirm: {{seeds: 3, epochs: 6}}
protocols: [{{name: heldout, data: {{name: digits}}}}]
"""
    with pytest.raises(RequestError, match=says):
        reading.parse(text, "tiny.yaml")


def test_the_index_and_mlflow_tell_searches_apart(done):
    records = done[0]
    one = next(known for known in records if known.trial.search == 2)
    assert index.entry(one).search == 2 and index.entry(one).arm == one.trial.arm == f"{one.trial.name} #2"
    tags = _mlflow_run.labels(one)
    assert tags["search"] == "2" and f"{one.trial.name} #2 " in tags["mlflow.runName"]
    assert tags["label"] == one.trial.name


def test_three_drivers_run_the_searches_of_one(study, drivers, tmp_path):
    """The claims tell the trials of different searches apart."""
    tune = RANDOM | {"searches": 3, "trials": 4, "epochs": 2}
    alone = drivers.drive("alone", make(tune=tune, **SMALL))
    drivers.executed.clear()
    names = ["a", "b", "c"]
    for name in names:
        drivers.start(name, study(tune=tune, **SMALL))
    drivers.join(*names)
    assert numbers(check_whole(tmp_path, drivers, names)) == numbers(alone)
    assert set(drivers.executed.values()) == {1}
