"""`facebench promote`: which network, what is said of it, and the Model Registry of a real store."""

import json
from types import SimpleNamespace

import mlflow
import pytest
from made_up_study import copy, edit, full, keep, pilot, runs  # noqa: F401 (fixtures)
from made_up_tracking import template  # noqa: F401 (fixture)
from typer.testing import CliRunner

import reports
from bench import places, record, tracking
from bench.cli import app
from bench.errors import RequestError
from reports import _promotion, _rows


def tuned(folder, loss):
    return sorted(
        (r for r in record.read_study(folder) if r.trial.role == "tuned" and r.trial.loss == loss),
        key=lambda known: known.trial.number,
    )


class TestWhichNetwork:
    def test_the_leader_of_the_verdict(self, full):
        found = reports.promotion(full.folder)
        assert found.tags["facebench.loss"] == _rows.rows(full, "tuned")[0].loss == "lmcl"
        assert found.tags["facebench.verdict"].startswith("better (+")

    def test_the_first_seed_where_nobody_was_held_out_and_never_the_best_on_the_test(self, copy):
        last = tuned(copy, "lmcl")[-1]

        def best(body):
            body["metrics"]["lfw/accuracy"] = body["scores"]["lfw"]["metrics"]["lfw/accuracy"] = 0.99

        edit(copy, best, id=last.trial.id)
        found = reports.promotion(copy)
        assert found.trial == tuned(copy, "lmcl")[0].trial.id != last.trial.id
        assert "test figures choose no seed" in found.description

    def test_the_best_seed_on_development_people_where_there_are_some(self, copy):
        wanted = tuned(copy, "lmcl")[3].trial
        for seed in tuned(copy, "lmcl"):
            figure = 0.9 if seed.trial == wanted else 0.8
            edit(copy, lambda body, figure=figure: body["metrics"].update({"dev/accuracy": figure}), id=seed.trial.id)
        found = reports.promotion(copy)
        assert found.trial == wanted.id
        assert "the best of its 5 runs on development people, by dev/accuracy (0.9000)" in found.description

    def test_another_loss_by_its_name(self, full):
        assert reports.promotion(full.folder, "softmax").tags["facebench.verdict"] == "the reference itself"
        with pytest.raises(RequestError, match=r"confirmed no loss 'nosuch'; it confirmed: center, lmcl and softmax"):
            reports.promotion(full.folder, "nosuch")


class TestWhatSpeaksAgainstIt:
    def test_a_pilot(self, pilot):
        with pytest.raises(RequestError, match=r"it is a pilot of 3 seeds, a verdict needs 5; give --anyway"):
            reports.promotion(pilot.folder)
        found = reports.promotion(pilot.folder, anyway=True)
        assert found.tags["facebench.anyway"] == "it is a pilot of 3 seeds, a verdict needs 5"
        assert "Promoted although it is a pilot" in found.description

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda body: body["provenance"].update(dirty=True), "its code had uncommitted changes"),
            (
                lambda body: body["scores"]["lfw"].update(marks={"lfw/accuracy": "partial: 3 images are missing"}),
                r"its figure is not ranked \(partial: 3 images are missing\)",
            ),
        ],
    )
    def test_a_dirty_tree_and_a_partial_figure(self, copy, change, sentence):
        edit(copy, change, role="tuned", loss="lmcl")
        with pytest.raises(RequestError, match=sentence):
            reports.promotion(copy, "lmcl")

    def test_runs_that_have_not_ended(self, copy):
        (tuned(copy, "lmcl")[4].folder / "record.json").unlink()
        with pytest.raises(RequestError, match=r"1 run of it not finished; it is a pilot of 4 seeds"):
            reports.promotion(copy, "lmcl")


def test_a_study_that_confirmed_nothing_yet_has_nothing_to_promote(copy):
    keep(copy, "tune")
    for asked in (None, "lmcl"):
        with pytest.raises(RequestError, match=r"'full' has confirmed no loss yet: let the sweep go on"):
            reports.promotion(copy, asked)


def test_figures_stand_in_the_tags_as_fractions_with_their_interval_and_protocol(full):
    tags = reports.promotion(full.folder).tags
    sample = _rows.cell(full, _rows.rows(full, "tuned")[0], "lfw/accuracy").sample
    low, high = _promotion.level_interval(sample)
    assert tags["facebench.mean/lfw/accuracy"] == f"{sample.mean:.6f} [{low:.6f}, {high:.6f}] over 5 seeds"
    one = tuned(full.folder, "lmcl")[0]
    assert tags["facebench.own/lfw/accuracy"] == f"{one.metrics['lfw/accuracy']:.6f}"
    assert tags["facebench.protocol/lfw"] == one.scores["lfw"]["hash"] and "facebench.anyway" not in tags


@pytest.fixture
def registry(copy, template, monkeypatch):
    """A store in which the leader's first seed has a model (an empty one); how to ask for what is registered."""
    monkeypatch.setenv("FACEBENCH_RUNS", str(copy.parent))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy.parent / 'mlflow.db'}")
    (copy.parent / "mlflow.db").write_bytes(template.read_bytes())
    of = tracking.client(tracking.uri())
    study = of.create_experiment("full", artifact_location=(copy.parent / "artifacts").as_uri())
    run = of.create_run(study).info.run_id
    trial = tuned(copy, "lmcl")[0].trial.id
    model = of.create_logged_model(study, "lmcl", run, tags={"facebench.trial": trial})
    of.finalize_logged_model(model.model_id, "READY")

    def found():
        versions = of.search_model_versions("name = 'faces'")
        return [(one.version, one.run_id, one.tags, one.description, one.last_updated_timestamp) for one in versions]

    return SimpleNamespace(of=of, run=run, trial=trial, model=model, versions=found)


def promote(*given):
    return CliRunner().invoke(app, ["promote", "full", "--name", "faces", *given])


def test_a_version_with_tags_description_and_alias_and_the_same_again_changes_nothing(registry):
    first = promote()
    assert first.stdout == f"trial {registry.trial}: version 1 of models:/faces@champion, promoted\n"
    ((version, run, tags, description, _),) = before = registry.versions()
    wanted = reports.promotion(places.study_folder("full"))
    assert (version, run, tags, description) == (1, registry.run, wanted.tags, wanted.description)
    assert registry.of.get_model_version_by_alias("faces", "champion").source == registry.model.artifact_location
    assert json.loads(registry.of.get_logged_model(registry.model.model_id).tags["mlflow.modelVersions"]) == [
        {"name": "faces", "version": 1}
    ]
    assert promote().stdout.endswith(", as it was\n") and registry.versions() == before


def test_what_has_become_true_since_is_said_of_the_same_version(registry, copy):
    edit(copy, lambda body: body["provenance"].update(dirty=True), role="tuned", loss="lmcl")
    assert promote("--anyway").stdout.endswith("promoted\n")
    edit(copy, lambda body: body["provenance"].update(dirty=False), role="tuned", loss="lmcl")
    assert json.loads(promote("--json").stdout)["changed"]
    ((version, _, tags, description, _),) = registry.versions()
    assert version == 1 and "facebench.anyway" not in tags and "although" not in description


def test_another_alias_points_at_the_same_version(registry):
    promote()
    assert json.loads(promote("--alias", "baseline", "--json").stdout)["version"] == "1"
    aliases = registry.of.get_registered_model("faces").aliases
    assert {alias: str(version) for alias, version in aliases.items()} == {"champion": "1", "baseline": "1"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--loss", "softmax"), r"has no model of trial \w+ of study 'full': `facebench sync full` makes it"),
        (("--name", "a/b"), r"a registered model's name has no /, : or ', got 'a/b'"),
        (("--alias", "latest"), r"an alias has letters, .*, got 'latest'"),
    ],
)
def test_what_cannot_be_is_answered_and_registers_nothing(registry, given, sentence):
    with pytest.raises(RequestError, match=sentence):
        raise promote(*given).exception
    assert not mlflow.MlflowClient(tracking.uri()).search_registered_models()
