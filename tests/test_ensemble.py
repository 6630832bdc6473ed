"""Sweeps of ensembles: what is trained and fused, resumption, failures; fused figures against concatenation by hand."""

import json
import shutil

import fake_trial
import numpy as np
import pytest
from literal import literal_cosine
from made_up_ensemble import ROWS, parse, run
from made_up_sweep import NoWindow, no_mlflow, numbers, sweep  # noqa: F401 (fixtures)

import sweeps
from bench import fusion, ledger, places, record, scorers, scoring
from bench.errors import RequestError, TrialFailed
from sweeps import ensemble, session


def role(records, name):
    return [known for known in records if known.trial.role == name]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A whole sweep on disk, and the lines that it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_RUNS", str(tmp_path_factory.mktemp("template")))
        patch.setattr(session, "MlflowWindow", NoWindow)
        return places.runs(), sweep(parse(), run)[1]


@pytest.fixture
def done(template):
    """The records of a copy in the test's own place, and those lines."""
    shutil.copytree(template[0], places.runs(), dirs_exist_ok=True)
    return record.read_study(places.study_folder("study")), template[1]


class TestSweep:
    def test_networks_are_trained_and_ensembles_made_of_them(self, done):
        records, lines = done
        assert len(role(records, "patch")) == 6 and len(role(records, "tuned")) == 12 == len(records) - 6
        assert {known.state for known in records} == {"finished"}
        assert {(r.trial.name, r.provenance["patches"]) for r in role(records, "tuned")} == {
            (row, int(row[0])) for row in ROWS
        }
        assert all("cnn4/deepid2: " + said in lines for said in ("patch 4 (seed 1001) finished", "fuse", "done"))
        assert "cnn4/deepid2: 2 patches, joint Bayesian (seed 1001) finished: lfw/accuracy " in lines
        assert "[0 s left]" in lines
        facts = json.loads((places.study_folder("study") / "study.json").read_text())
        assert (facts["losses"], facts["reference"], facts["state"]) == (ROWS, "3 patches, cosine", "finished")
        assert facts["labels"] == dict.fromkeys(ROWS, "deepid2")
        assert facts["cells"]["cnn4/deepid2"]["stage"] == "done"

    def test_every_look_at_the_test_is_in_the_ledger_once(self, done):
        assert sorted(e["trial"] for e in ledger.entries()) == sorted(known.trial.id for known in done[0])
        assert {e["hash"] for e in ledger.entries()} == {scoring.open_protocol(parse().protocols[0])[0].hash}

    def test_the_figures_are_those_of_the_concatenated_embeddings(self, done):
        protocol, _ = scoring.open_protocol(parse().protocols[0])
        networks = role(done[0], "patch")
        for known in role(done[0], "tuned"):
            members = [n for n in networks if n.trial.seed == known.trial.seed][: known.provenance["patches"]]
            assert known.provenance["members"] == [n.trial.id for n in members]
            arrays = [dict(np.load(n.folder / "raw.npz")) for n in members]
            train, test = (concatenated([array[f"embeddings/{part}"] for array in arrays]) for part in ("train", "lfw"))
            scorer = scorers.fit(
                known.trial.scorer, known.trial.scorer_options, train, arrays[0]["embeddings/train_labels"]
            )
            assert known.metrics == pytest.approx(protocol.score(test, scorer).metrics, abs=1e-12)
            assert known.scores["lfw"]["metrics"] == known.metrics
            if known.trial.scorer == "cosine":
                pairs = zip(protocol.pairs.first, protocol.pairs.second, strict=True)
                by_hand = [literal_cosine(test[a].tolist(), test[b].tolist()) for a, b in pairs]
                assert np.load(known.folder / "raw.npz")["lfw/scores"] == pytest.approx(by_hand, abs=1e-6)

    def test_an_ensemble_of_one_under_cosine_is_its_network(self, done):
        alone = {r.trial.seed: r.metrics for r in role(done[0], "tuned") if r.trial.name == "1 patch, cosine"}
        whole = {r.trial.seed: r.metrics for r in role(done[0], "patch") if r.trial.patch[2] == 1}
        assert alone == whole and len(alone) == 2

    def test_costs_are_summed_over_the_networks(self, done):
        three = next(r for r in done[0] if r.trial.name == "3 patches, cosine")
        assert (three.cost["train_seconds"], three.cost["parameters"], three.cost["epochs"]) == (6.0, 30, 6)

    @pytest.mark.parametrize("after", [0, 7, 17])
    def test_an_interrupted_ensemble_ends_as_an_uninterrupted_one(self, after, done, tmp_path, monkeypatch):
        monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "elsewhere"))
        with pytest.raises(KeyboardInterrupt):
            sweep(parse(), fake_trial.interrupted(after, run))
        again, _ = sweep(parse(), run)
        assert numbers(again) == numbers(done[0])

    def test_a_stop_amid_the_fusion_is_gone_on_from(self, done, tmp_path, monkeypatch):
        monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "elsewhere"))
        real, made = fusion.fuse, []

        def once(trial, members):
            if len(made) == 5:
                raise KeyboardInterrupt
            made.append(trial.id)
            return real(trial, members)

        monkeypatch.setattr(fusion, "fuse", once)
        with pytest.raises(KeyboardInterrupt):
            sweep(parse(), run)
        assert sweeps.status("study")["state"] == "stopped"
        monkeypatch.setattr(fusion, "fuse", lambda trial, members: made.append(trial.id) or real(trial, members))
        again, _ = sweep(parse(), lambda trial, folder: pytest.fail("a finished network was trained again"))
        assert len(set(made)) == len(made) == 12 and numbers(again) == numbers(done[0])

    def test_a_second_start_makes_nothing(self, done, monkeypatch):
        monkeypatch.setattr(fusion, "fuse", lambda *_: pytest.fail("an ensemble was made again"))
        before = len(ledger.entries())
        again, _ = sweep(parse(), lambda trial, folder: pytest.fail("a network was trained again"))
        assert numbers(again) == numbers(done[0]) and len(ledger.entries()) == before


def concatenated(arrays):
    """One image at a time: every network's embedding divided by its length, one after the other."""
    rows = []
    for row in range(len(arrays[0])):
        parts = [[float(v) for v in array[row]] for array in arrays]
        rows.append([value / sum(v * v for v in part) ** 0.5 for part in parts for value in part])
    return np.array(rows)


class TestFailures:
    def second_of_seed_1001(self, trial):
        return (trial.role, trial.number) == ("patch", 4)

    def test_a_network_that_diverges_takes_the_ensembles_that_need_it_along_and_no_other(self):
        def moody(trial, folder):
            if self.second_of_seed_1001(trial):
                raise TrialFailed("the loss is nan at step 3")
            yield from run(trial, folder)

        records, lines = sweep(parse(), moody)
        failed = {(r.trial.name, r.trial.seed, r.kind) for r in role(records, "tuned") if r.state == "failed"}
        assert failed == {(row, 1001, "diverged") for row in ROWS[2:]}
        reason = next(r.reason for r in role(records, "tuned") if r.trial.name == ROWS[-1] and r.state == "failed")
        assert reason.startswith("patch 2 of 3 (trial ") and reason.endswith("failed: the loss is nan at step 3")
        assert "the loss is nan" in lines
        assert numbers(sweep(parse(), run)[0]) == numbers(records), "what diverged would diverge again"

    def test_what_the_machine_lost_is_made_again_by_the_next_start(self, done, tmp_path, monkeypatch):
        monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "elsewhere"))

        def broken(trial, folder):
            if self.second_of_seed_1001(trial):
                raise OSError("no space left on device")
            yield from run(trial, folder)

        with pytest.raises(
            TrialFailed, match=r"4 run\(s\) of the report were lost to errors \(the first: patch 2 of 2"
        ):
            sweep(parse(), broken)
        lost = [r for r in record.read_study(places.study_folder("study")) if r.kind == "error"]
        assert len(lost) == 1 + 4
        again, _ = sweep(parse(), run)
        assert numbers(again) == numbers(done[0])

    def test_a_request_that_is_wrong_for_the_networks_is_said_and_nothing_is_fused(self):
        def refuse(trial, folder):
            raise RequestError("batches cannot be made")

        with pytest.raises(RequestError, match="batches cannot be made"):
            sweep(parse(), refuse)
        assert not role(record.read_study(places.study_folder("study")), "tuned")

    def test_networks_of_other_images_are_not_fused(self, done):
        wanted = ensemble.fusions(parse(), "cnn4", "deepid2")[2]
        known = [record.read(places.study_folder("study") / trial.id) for trial in wanted.networks]
        arrays = dict(np.load(known[1].folder / "raw.npz"))
        np.savez_compressed(
            known[1].folder / "raw.npz", **arrays | {"embeddings/train_labels": np.zeros(200, np.int64)}
        )
        with pytest.raises(RequestError, match="was trained or tested on other images"):
            fusion.fuse(wanted.trial, known)

    def test_a_network_that_kept_no_embeddings_is_not_fused(self, done):
        wanted = ensemble.fusions(parse(), "cnn4", "deepid2")[0]
        known = record.read(places.study_folder("study") / wanted.networks[0].id)
        np.savez_compressed(known.folder / "raw.npz", nothing=np.zeros(1))
        with pytest.raises(RequestError, match=r"kept no embeddings: an ensemble needs `keep: \[embeddings\]`"):
            fusion.fuse(wanted.trial, [known])
