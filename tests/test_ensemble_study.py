"""Study files with an ensemble or a closed-set test of their own, and the trials that they ask for."""

import numpy as np
import pytest
from made_up_ensemble import ROWS, STUDY, TEST, parse

from bench import cli, datasets, patches
from bench.errors import RequestError
from bench.images import Faces
from bench.plain import Trial
from sweeps import checks, ensemble, plan, reading, sheets
from sweeps.parts import Tune


class TestStudyFile:
    def test_rows_and_reference_are_ensembles(self):
        study = parse()
        assert list(study.rows) == ROWS and set(study.rows.values()) == {"deepid2"}
        assert study.reference == "3 patches, cosine"
        assert parse("confirm:", "reference: 1 patch, joint Bayesian\nconfirm:").reference == "1 patch, joint Bayesian"
        assert parse("{cosine: , joint_bayesian: {pca: 8}}", "[l2]").reference == "3 patches, l2"

    def test_of_several_entries_each_has_its_rows(self):
        study = parse("confirm:", "  softmax:\nconfirm:")
        assert study.reference == "deepid2, 3 patches, cosine"
        assert list(study.rows)[6] == "softmax, 1 patch, cosine" and len(study.rows) == 12

    @pytest.mark.parametrize(
        ("right", "wrong", "line", "says"),
        [
            ("grid", "greedy", 8, ["'ensemble.layout'", "'greedy'", "'landmarks' or 'grid'"]),
            ("[1, 2, 3]", "[1, 3, 2]", 8, ["'ensemble.counts'", "must rise", "[1, 3, 2]"]),
            ("[1, 2, 3]", "[2, 2]", 8, ["'ensemble.counts'", "each listed once"]),
            ("[1, 2, 3]", "[0, 2]", 8, ["'ensemble.counts.0'", "got 0"]),
            ("[1, 2, 3]", "[]", 8, ["'ensemble.counts'", "at least 1"]),
            ("[1, 2, 3]", "[31]", 8, ["'ensemble.counts'", "'grid' has 30 patches, got a count of 31"]),
            ("joint_bayesian:", "jb:", 8, ["'ensemble.scorers.jb'", "no scorer 'jb'", "joint_bayesian"]),
            ("pca: 8", "pcs: 8", 8, ["'ensemble.scorers.joint_bayesian'", "no option 'pcs'", "pca, update"]),
            ("pca: 8", "pca: -1", 8, ["'ensemble.scorers.joint_bayesian'", "got -1"]),
            ("layout:", "out:", 8, ["'ensemble.out'", "unknown key; accepted here: layout, counts, scorers"]),
            ("confirm:", "tune: {trials: 2, epochs: 1}\nconfirm:", 7, ["'tune'", "leave out `tune`, or `ensemble`"]),
            ("confirm:", "storage: sqlite:////x.db\nconfirm:", 7, ["'storage'", "fused by one driver"]),
            ("confirm:", "again: true\nconfirm:", 7, ["'again'", "a study with `ensemble` has none"]),
            ("confirm:", "default_seeds: 2\nconfirm:", 7, ["'default_seeds'", "leave it out"]),
            (
                "confirm:",
                "reference: deepid2\nconfirm:",
                7,
                ["'reference'", "'deepid2'", "1 patch, cosine; 1 patch, joint"],
            ),
            ("confirm:", "primary: closed/accuracy\nconfirm:", 7, ["'primary'", "no closed-set test"]),
            (f"[{TEST}]", "[]", 9, ["'protocols'", "scored on test protocols alone"]),
            ("confirm:", "closed_every: 1\nconfirm:", 7, ["'closed_every'", "got 1, expected 0", "at least 2"]),
        ],
    )
    def test_a_mistake_is_answered_with_file_line_key_and_what_is_accepted(self, right, wrong, line, says):
        with pytest.raises(RequestError) as error:
            parse(right, wrong)
        sentence = str(error.value)
        assert "\n" not in sentence
        for part in (f"study file study.yaml, line {line}", *says):
            assert part in sentence

    def test_it_is_part_of_what_makes_a_study_the_same(self):
        changed = [parse("[1, 2, 3]", "[1, 2]"), parse("pca: 8", "pca: 7"), parse("grid", "landmarks")]
        assert len({reading.digest(study) for study in (parse(), *changed)}) == 4

    @pytest.mark.parametrize(("pca", "fits"), [(64, True), (65, False)])
    def test_more_components_than_training_images_are_refused_before_the_training(self, monkeypatch, pca, fits):
        faces = Faces(tuple(map(str, range(64))), np.arange(64) % 32, tuple(map(str, range(32))), None)
        monkeypatch.setattr(datasets, "load", lambda name, **options: faces)
        study = reading.parse(STUDY.replace("pca: 8", f"pca: {pca}").replace("dim: 6", "dim: 16"), "study.yaml")
        if fits:
            return checks.openable(study)
        with pytest.raises(RequestError, match=r"ensemble.scorers.joint_bayesian: 65 principal .* and there are 64"):
            checks.openable(study)


class TestClosedEvery:
    def test_every_trial_sets_the_images_aside_and_no_protocol_is_needed(self, tmp_path):
        text = STUDY.partition("ensemble:")[0] + "protocols: []\nclosed_every: 5\nreference: deepid2\n"
        study = reading.parse(text, "study.yaml")
        checks.openable(study)
        searched = study.model_copy(update={"tune": Tune(trials=1, epochs=1)})
        tuned = plan.search(searched, plan.fixed(searched, "cnn4", "deepid2"), 0, {})
        assert plan.fixed(study, "cnn4", "deepid2").closed_every == tuned.closed_every == 5
        sheets.draw(study, tmp_path)
        assert {path.stem for path in (tmp_path / sheets.FOLDER).iterdir()} == {"training", "test closed"}
        with pytest.raises(RequestError, match="no closed-set test: name a test protocol, .* or `closed_every`"):
            checks.openable(study.model_copy(update={"closed_every": 0}))


class TestTrials:
    def test_every_patch_of_every_seed_is_one_network(self):
        trials = ensemble.networks(parse(), "cnn4", "deepid2")
        assert [(t.number, t.seed) for t in trials] == [
            (0, 1000),
            (1, 1000),
            (2, 1000),
            (3, 1001),
            (4, 1001),
            (5, 1001),
        ]
        assert [t.patch for t in trials] == 2 * patches.layout("grid", 3)
        assert {(t.role, t.stage, t.keep, t.epochs, len(t.protocols)) for t in trials} == {
            ("patch", "confirm", ("embeddings",), 2, 1)
        }
        assert len({t.id for t in trials}) == 6

    def test_every_count_and_scorer_of_every_seed_is_one_ensemble(self):
        trained = ensemble.networks(parse(), "cnn4", "deepid2")
        found = ensemble.fusions(parse(), "cnn4", "deepid2")
        assert [(f.trial.label, f.trial.number, f.trial.seed) for f in found] == [
            (row, run, 1000 + run) for run in (0, 1) for row in ROWS
        ]
        for one in found:
            assert list(one.networks) == [t for t in trained if t.seed == one.trial.seed][: len(one.networks)]
            assert one.trial.patches == tuple(t.patch for t in one.networks) and one.trial.patch is None
            assert Trial.from_plain(one.trial.plain()) == one.trial

    def test_an_ensemble_of_fewer_dimensions_keeps_fewer_components(self):
        def used(study):
            return [f.trial.scorer_options["pca"] for f in ensemble.fusions(study, "cnn4", "deepid2")[1:6:2]]

        assert used(parse("pca: 8", "pca: 30")) == [12, 24, 30]
        assert used(parse("pca: 8", "pca: 30, update: paper")) == [12, 24, 30]
        assert used(parse("embedding_dim: 6", "flip: none\nembedding_dim: 6")) == [6, 8, 8]

    @pytest.mark.parametrize(
        ("size", "crop", "zoom"),
        [("size: 16", "crop: 12", 12 / 16), ("identities: 9", "crop: 32", 32 / 64), ("size: 16", "crop: 99", 1.0)],
    )
    def test_landmarks_are_those_of_the_part_that_is_shown(self, size, crop, zoom):
        text = STUDY.replace("grid", "landmarks").replace("size: 16", size, 1) + f"{crop}\n"
        assert ensemble.layout(reading.parse(text, "study.yaml")) == patches.layout("landmarks", 3, zoom)


def test_the_command_ensemble_refuses_a_study_without_one(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["facebench", "ensemble", "smoke", "--address", "inline"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.count("\n") == 1
    assert "study 'smoke' has no `ensemble`: add one, or run it with `facebench sweep smoke`" in err
