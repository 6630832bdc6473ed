"""The study file: what it means, and one sentence for every mistake in it."""

import pytest

from bench.errors import RequestError
from bench.plain import Trial
from sweeps import plan, reading

GOOD = """\
name: tiny
data: {name: digits}
holdout: 0.2
backbones:
  cnn4: {widths: [4, 4, 4, 4]}
losses:
  softmax:
  lmcl: {fixed: {margin_warmup_fraction: 0.25}}
  center: {search: {center_weight: [1e-4, 0.01]}}
train: {learning_rate: 0.05}
tune: {trials: 8, epochs: 4}
confirm: {seeds: 3, epochs: 6}
protocols:
  - {name: heldout, data: {name: digits}}
"""


@pytest.fixture
def study():
    return reading.parse(GOOD, "tiny.yaml")


@pytest.mark.parametrize(
    ("right", "wrong", "line", "says"),
    [
        ("trials: 8", "trails: 8", 11, ["'tune.trails'", "unknown key", "trials, epochs, sampler"]),
        ("trials: 8, ", "", 11, ["'tune.trials'", "missing"]),
        ("trials: 8", "trials: eight", 11, ["'tune.trials'", "'eight'", "integer"]),
        ("trials: 8", "trials: true", 11, ["'tune.trials'", "True", "integer"]),
        ("trials: 8", "trials: 0", 11, ["'tune.trials'", "got 0", "greater than or equal to 1"]),
        ("trials: 8", "trials: 8, sampler: tpee", 11, ["'tune.sampler'", "'tpee'", "'tpe', 'gp', 'cmaes'"]),
        ("holdout: 0.2", "holdout: 0", 3, ["'holdout'", "got 0", "greater than 0"]),
        ("holdout: 0.2", "objective: lfw/accuracy", 3, ["'objective'", "'lfw/accuracy'", "'dev/accuracy'"]),
        ("holdout: 0.2", "holdout: 0.2\nholdout: 0.3", 4, ["'holdout'", "given twice"]),
        ("holdout: 0.2", "augment: {flop: 0.5}", 3, ["'augment.flop'", "flip, shift"]),
        ("holdout: 0.2", "augment: {flip: 2}", 3, ["'augment.flip'", "got 2", "between 0 and 1"]),
        ("holdout: 0.2", "reference: nsl", 3, ["'reference'", "'nsl'", "softmax, lmcl, center"]),
        ("  softmax:\n", "  softmux:\n", 7, ["'losses.softmux'", "no loss 'softmux'", "lmcl"]),
        ("  lmcl:", "  cosface:", 8, ["'losses.cosface'", "is called 'lmcl' here"]),
        ("margin_warmup_fraction", "warmth", 8, ["'losses.lmcl.fixed.warmth'", "scale, margin"]),
        ("[1e-4, 0.01]", "[0.01, 1e-4]", 9, ["'losses.center.search.center_weight'", "upside down"]),
        ("[1e-4, 0.01]", "[0.01]", 9, ["'losses.center.search.center_weight'", "expected [low, high]"]),
        ("[1e-4, 0.01]", "{log: [0, 1]}", 9, ["'losses.center.search.center_weight'", "log range must begin above 0"]),
        (
            "{center_weight: [1e-4, 0.01]}",
            "{center_rate: [0, 1]}, fixed: {center_rate: 1}",
            9,
            ["both searched and fixed"],
        ),
        ("cnn4:", "cnn5:", 5, ["'backbones.cnn5'", "no backbone 'cnn5'", "closest: cnn4"]),
        ("data: {name: digits}\n", "data: {name: digit}\n", 2, ["'data.name'", "no data set 'digit'", "digits"]),
        ("name: heldout", "name: lwf", 14, ["'protocols.0.name'", "no protocol 'lwf'", "lfw"]),
        ("{name: heldout, ", "{", 14, ["'protocols.0.name'", "missing", "lfw"]),
        ("name: tiny", "name: ../tiny", 1, ["'name'", "'../tiny'", "pattern"]),
        ("fraction: 0.25", "fraction: abc", 8, ["'losses.lmcl.fixed.margin_warmup_fraction'", "got 'abc'", "0 and 1"]),
        ("fraction: 0.25", "fraction: 1.5", 8, ["'losses.lmcl.fixed.margin_warmup_fraction'", "got 1.5", "0 and 1"]),
        ("fraction: 0.25", "steps: 5", 8, ["no hyper-parameter 'margin_warmup_steps'", "give margin_warmup_fraction"]),
        (
            "{fixed: {margin_warmup_fraction: 0.25}}",
            "{search: {margin_warmup_fraction: [0.1, 1.1]}}",
            8,
            ["'losses.lmcl.search.margin_warmup_fraction'", "got 1.1", "between 0 and 1"],
        ),
        ("margin_warmup_fraction: 0.25", "scale: abc", 8, ["'losses.lmcl.fixed.scale'", "must be a number, got 'abc'"]),
        ("[1e-4, 0.01]", "[-1, 0.01]", 9, ["'losses.center.search.center_weight'", "must be >= 0, got -1"]),
        ("widths: [4, 4, 4, 4]", "width: 4", 5, ["'backbones.cnn4'", "does not take these options", "'width'"]),
        ("{name: digits}\n", "{name: digits, clases: [1]}\n", 2, ["'data.clases'", "no option", "it has: classes"]),
        ("{name: digits}}", "{name: digits, size: 8}}", 14, ["'protocols.0.data.size'", "it has: classes"]),
        ("{name: heldout,", "{name: heldout, sede: 1,", 14, ["'protocols.0.sede'", "it has: images, seed"]),
        ("holdout: 0.2", "primary: lfw/accuracy", 3, ["'primary'", "'lfw/accuracy' is no figure", "heldout/"]),
    ],
)
def test_a_mistake_is_answered_with_file_line_key_and_what_is_accepted(right, wrong, line, says):
    assert GOOD.count(right) >= 1
    with pytest.raises(RequestError) as error:
        reading.parse(GOOD.replace(right, wrong, 1), "tiny.yaml")
    sentence = str(error.value)
    assert "\n" not in sentence
    for part in (f"study file tiny.yaml, line {line}", *says):
        assert part in sentence


def test_a_file_that_is_no_mapping_or_no_yaml_is_refused():
    with pytest.raises(RequestError, match=r"tiny.yaml must be a mapping with the keys name, data"):
        reading.parse("- a\n- b\n", "tiny.yaml")
    with pytest.raises(RequestError, match=r"tiny.yaml is not readable yaml: .*line 3"):
        reading.parse("name: tiny\ndata: [1\nholdout: 2\n", "tiny.yaml")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "tiny.yaml").write_bytes(GOOD.replace("name: tiny", "name: t\xfcny").encode("latin-1"))
    with pytest.raises(RequestError, match=r"tiny.yaml is not UTF-8 text \(byte 7 is 0xfc\): save it as UTF-8"):
        reading.load(tmp_path / "tiny.yaml")


def test_a_figure_of_a_protocols_other_aggregation_may_rank():
    text = GOOD.replace("name: heldout", "name: ytf") + "primary: ytf-mean_score/accuracy\n"
    assert reading.parse(text, "tiny.yaml").primary == "ytf-mean_score/accuracy"


@pytest.mark.parametrize(
    ("name", "primary"),
    [("bins", "lfw-bin/accuracy"), ("rank_k", "lfw-rank/rank1"), ("lfw_blufr", "lfw-blufr_generated/vr_at_far_1e-3"),
     ("megaface", "megaface2-sets/rank1"), ("ijb", "ijbc/tar_at_far_1e-4"), ("retrieval", "retrieval/map_at_r")],
)  # fmt: skip
def test_the_primary_figure_may_be_any_protocols_own(name, primary):
    text = GOOD.replace("name: heldout", f"name: {name}")
    assert reading.parse(text + f"primary: {primary}\n", "tiny.yaml").primary == primary
    with pytest.raises(RequestError, match="is no figure of this study's protocols"):
        reading.parse(text + "primary: other/accuracy\n", "tiny.yaml")


def test_a_protocol_may_be_of_any_data_set_with_groups_and_images_left_out():
    entry = (
        "{name: heldout, faces: {name: digits}, holdout: 0.3, groups: g.csv, leave_out: seen.csv, allow_missing: true}"
    )
    text = GOOD.replace("{name: heldout, data: {name: digits}}", entry)
    assert reading.parse(text, "tiny.yaml").protocols[0]["faces"] == {"name": "digits"}
    with pytest.raises(RequestError, match="data set 'digits' has no option 'klasses'"):
        reading.parse(text.replace("{name: digits}, holdout", "{name: digits, klasses: 3}, holdout"), "tiny.yaml")


def test_leave_to_overlap_makes_no_other_study_and_no_other_search(study):
    allowed = reading.parse(GOOD + "allow_overlap: true\n", "tiny.yaml")
    assert reading.digest(allowed) == reading.digest(study)
    found = {"learning_rate": 0.1, "weight_decay": 1e-3, "margin": 0.3}
    before, after = (plan.search(one, plan.fixed(one, "cnn4", "lmcl"), 3, found) for one in (study, allowed))
    assert [before, *plan.finalists(study, before)] == [after, *plan.finalists(allowed, after)]
    assert all(trial.allow_overlap for trial in plan.confirm(allowed, after, "tuned"))


def test_an_unknown_study_names_the_shipped_ones():
    with pytest.raises(RequestError, match=r"no study 'smok'.*deepid2, .*demo, .*real_faces, smoke"):
        reading.load("smok")


@pytest.mark.parametrize("name", reading.shipped())
def test_shipped_studies_are_right_and_hold_no_absolute_path(name):
    assert reading.load(name).name == name
    text = (reading.SHIPPED / f"{name}.yaml").read_text()
    assert ": /" not in text and "[/" not in text and ", /" not in text


def test_what_was_run_before_there_were_labels_goes_on(study):
    """The hash of the study and the ids of its trials, as the first release made them."""
    assert reading.digest(study) == "bc60388f9d754891"
    search = plan.search(
        study, plan.fixed(study, "cnn4", "lmcl"), 3, {"learning_rate": 0.1, "weight_decay": 1e-3, "margin": 0.3}
    )
    rows = (search, plan.defaults(study, "cnn4", "lmcl")[0], plan.untrained(study, "cnn4")[0])
    assert [trial.id for trial in rows] == ["093c26d806dcc6e3", "46a7b09653403cba", "f43a78747226347f"]
    for more in ("keep: [features]", "scorer: l2"):
        assert reading.digest(reading.parse(f"{GOOD}{more}\n", "tiny.yaml")) != reading.digest(study)
    labelled = reading.parse(GOOD.replace("  softmax:\n", "  softmax: {trial: {batch_size: 32}}\n"), "tiny.yaml")
    assert reading.digest(labelled) != reading.digest(study)


def test_a_study_is_the_same_whatever_its_comments_and_order(study):
    lines = GOOD.splitlines(keepends=True)
    moved = "# a comment\n" + "".join([*lines[9:], *lines[:9]])
    assert reading.digest(reading.parse(moved, "other.yaml")) == reading.digest(study)
    assert reading.digest(reading.parse(GOOD.replace("trials: 8", "trials: 9"), "tiny.yaml")) != reading.digest(study)


def test_learning_rate_and_weight_decay_are_searched_for_every_loss_and_scale_only_where_asked(study):
    assert set(plan.space(study, "softmax")) == {"learning_rate", "weight_decay"}
    assert set(plan.space(study, "lmcl")) == {"learning_rate", "weight_decay", "margin"}
    asked = reading.parse(GOOD.replace("lmcl: {", "lmcl: {search: {scale: [10, 20]}, "), "tiny.yaml")
    assert plan.space(asked, "lmcl")["scale"] == ("log", 10.0, 20.0)


def test_a_range_in_the_file_overrides_the_losss_own_and_keeps_its_scale(study):
    assert plan.space(study, "center")["center_weight"] == ("log", 1e-4, 0.01)
    own = reading.parse(GOOD.replace("[1e-4, 0.01]", "{linear: [1e-4, 0.01]}"), "tiny.yaml")
    assert plan.space(own, "center")["center_weight"] == ("linear", 1e-4, 0.01)
    shared = reading.parse(GOOD.replace("trials: 8", "trials: 8, search: {learning_rate: [0.02, 0.2]}"), "tiny.yaml")
    assert all(plan.space(shared, loss)["learning_rate"] == ("log", 0.02, 0.2) for loss in shared.losses)


def test_tuning_trials_hold_identities_out_and_carry_no_protocol(study):
    trial = plan.search(
        study, plan.fixed(study, "cnn4", "lmcl"), 3, {"learning_rate": 0.1, "weight_decay": 1e-3, "margin": 0.3}
    )
    assert (trial.stage, trial.role, trial.number, trial.holdout, trial.epochs) == ("tune", "search", 3, 0.2, 4)
    assert dict(trial.loss_options) == {"margin": 0.3, "margin_warmup_fraction": 0.25}
    for each in (trial, *plan.finalists(study, trial)):
        assert each.protocols == ()


def test_confirmation_repeats_the_winner_on_all_identities_with_the_protocols(study):
    winner = plan.search(
        study, plan.fixed(study, "cnn4", "lmcl"), 3, {"learning_rate": 0.07, "weight_decay": 1e-3, "margin": 0.3}
    )
    tuned = plan.confirm(study, winner, "tuned")
    assert len({trial.seed for trial in tuned}) == len(tuned) == 3
    for trial in tuned:
        assert (trial.learning_rate, trial.loss_options, trial.backbone_options) == (
            winner.learning_rate,
            winner.loss_options,
            winner.backbone_options,
        )
        assert (trial.stage, trial.holdout, trial.epochs, len(trial.protocols)) == ("confirm", 0.0, 6, 1)


def test_the_default_row_is_the_loss_as_it_comes(study):
    trial = plan.defaults(study, "cnn4", "lmcl")[0]
    assert (trial.stage, trial.role, dict(trial.loss_options)) == ("default", "default", {})
    assert (trial.learning_rate, trial.weight_decay) == (0.05, Trial().weight_decay)


def test_no_seed_serves_two_roles(study):
    winner = plan.search(study, plan.fixed(study, "cnn4", "softmax"), 0, {"learning_rate": 0.1, "weight_decay": 1e-3})
    rows = [[winner], plan.finalists(study, winner), plan.confirm(study, winner, "tuned")]
    rows += [
        plan.confirm(study, winner, "again"),
        plan.defaults(study, "cnn4", "softmax"),
        plan.untrained(study, "cnn4"),
    ]
    seeds = [trial.seed for row in rows for trial in row]
    assert len(set(seeds)) == len(seeds)


def test_pruning_waits_for_the_margins_warm_up(study):
    assert plan.first_pruning_step(study, "softmax") == 2  # the learning rate's own warm-up: 5 % of 4 epochs
    assert plan.first_pruning_step(study, "lmcl") == 2  # 25 % of 4 epochs, and one whole epoch after it
    longer = reading.parse(GOOD.replace("fraction: 0.25", "fraction: 0.5"), "tiny.yaml")
    assert plan.first_pruning_step(longer, "lmcl") == 3
