"""Study files of experiments: labels, entries' own settings, criteria; data with a closed-set test; other data where given."""

import numpy as np
import pytest

from bench import datasets
from bench.errors import RequestError
from bench.images import Faces
from sweeps import checks, reading

EXPERIMENT = """\
name: toy
data: {name: digits}
backbones: [cnn4]
losses:
  softmax: {fixed: {learning_rate: 0.1, weight_decay: 0}}
  "center .003": {loss: center, fixed: {center_weight: 0.003}, trial: {scorer: l2}}
  lmcl+center: {fixed: {margin: 0.2, center_weight: 0.01}}
criteria: [scatter]
confirm: {seeds: 5, epochs: 6}
protocols: []
primary: closed/accuracy
keep: [features]
supervise: [stages.2]
"""


def parse(text=EXPERIMENT, **more):
    return reading.parse(text, "toy.yaml", report={"criteria": ("scatter", "slope"), "published": ("table-2",)}, **more)


def refused(text, **more) -> str:
    with pytest.raises(RequestError) as error:
        parse(text, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_study_without_a_search_has_labels_and_composed_losses_and_no_rows_that_belong_to_a_choice():
    study = parse()
    assert (study.tune, study.default_seeds, study.again, study.untrained) == (None, 0, False, False)
    assert [study.loss(label) for label in study.losses] == ["softmax", "center", "lmcl+center"]
    assert parse(EXPERIMENT + "tune: null\nagain: true\n").again


@pytest.mark.parametrize(
    ("right", "wrong", "line", "says"),
    [
        (
            "{loss: center, ",
            "{",
            6,
            ["'losses.center .003'", "no loss 'center .003'", "says which `loss` it stands for"],
        ),
        ("loss: center,", "loss: centre,", 6, ["'losses.center .003.loss'", "no loss 'centre'", "there is: "]),
        ("loss: center,", "loss: cosface,", 6, ["'losses.center .003.loss'", "is called 'lmcl' here"]),
        ('"center .003"', "nsl", 6, ["'losses.nsl'", "'nsl' is the name of another loss than 'center'"]),
        ('"center .003"', "cosface", 6, ["'losses.cosface'", "'cosface' is the name of another loss than 'center'"]),
        ('"center .003"', "lmcl+center", 7, ["'losses.lmcl+center'", "given twice"]),
        ('"center .003"', '"center/3"', 6, ["a label is 1 to 40 printable characters without '/'", "'center/3'"]),
        ('"center .003"', '"a\\tb"', 6, ["a label is 1 to 40 printable characters", r"'a\tb'"]),
        ('"center .003"', '" a"', 6, ["without blanks at its ends", "' a'"]),
        ('"center .003"', "x" * 41, 6, ["a label is 1 to 40", "xxxx"]),
        ('"center .003"', '""', 6, ["a label is 1 to 40", "got ''"]),
        ('"center .003"', "0.003", 6, ["got 0.003", "string"]),
        ("lmcl+center:", "lmcl+centre:", 7, ["'losses.lmcl+centre'", "no 'centre' to add"]),
        (
            "margin: 0.2",
            "marge: 0.2",
            7,
            ["'losses.lmcl+center.fixed.marge'", "it has: scale, margin", "center_weight"],
        ),
        (
            "learning_rate: 0.1",
            "learning_rate: 0",
            5,
            ["'losses.softmax.fixed.learning_rate'", "got 0", "number above 0"],
        ),
        ("learning_rate: 0.1", "learning_rate: yes", 5, ["got True", "finite number above 0"]),
        ("weight_decay: 0", "weight_decay: -1", 5, ["'losses.softmax.fixed.weight_decay'", "got -1", "of at least 0"]),
        (
            "fixed: {margin: 0.2,",
            "search: {margin: [0, 1]}, fixed: {",
            7,
            ["'losses.lmcl+center.search'", "give `tune`"],
        ),
        (
            "trial: {scorer: l2}",
            "trial: {epochs: 9}",
            6,
            ["'losses.center .003.trial.epochs'", "here: batch_size, images_"],
        ),
        ("trial: {scorer: l2}", "trial: {batch_size: 1}", 6, ["trial.batch_size'", "got 1", "equal to 2"]),
        (
            "trial: {scorer: l2}",
            "trial: {supervise: [x]}",
            6,
            ["'losses.center .003.trial.supervise'", "'cnn4'", "'x'"],
        ),
        ("scorer: l2", "scorer: l1", 6, ["'losses.center .003.trial.scorer'", "'l1'", "cosine, l2, joint_bayesian"]),
        ("scorer: l2", "scorer_options: {pcs: 8}", 6, ["'losses.center .003.trial.scorer_options'", "'pcs'", "pca"]),
        ("keep: [features]", "scorer: euclid", 12, ["'scorer'", "'euclid'", "cosine, l2, joint_bayesian"]),
        ("[stages.2]", "[stages.9]", 13, ["'supervise'", "'cnn4'", "'stages.9'"]),
        ("[features]", "[feature]", 12, ["'keep.0'", "'feature'", "'features' or 'embeddings'"]),
        ("[scatter]", "[scatter, slop]", 8, ["'criteria.1'", "no acceptance criterion 'slop'", "scatter, slope"]),
        ("[scatter]", "[scatter, scatter]", 8, ["'criteria.1'", "'scatter' is listed twice"]),
        ("primary: closed/", "primary: lfw/", 11, ["'primary'", "'lfw/accuracy'", "begins with closed/"]),
        ("confirm: {seeds: 5, ", "tune: {trials: 8}\nconfirm: {", 9, ["'tune.epochs'", "missing"]),
    ],
)
def test_a_mistake_is_answered_with_file_line_key_and_what_is_accepted(right, wrong, line, says):
    assert EXPERIMENT.count(right) >= 1
    sentence = refused(EXPERIMENT.replace(right, wrong, 1))
    for part in (f"study file toy.yaml, line {line}", *says):
        assert part in sentence


def test_a_search_of_nothing_is_refused():
    text = EXPERIMENT.replace("  lmcl+center: {fixed: {margin: 0.2, center_weight: 0.01}}\n", "")
    sentence = refused(text + "tune: {trials: 4, epochs: 2}\n")
    assert "line 5, key 'losses.softmax.fixed': everything is fixed, nothing is left to search" in sentence


def test_criteria_are_not_checked_where_nobody_says_which_there_are():
    assert reading.parse(EXPERIMENT.replace("[scatter]", "[any]"), "toy.yaml").criteria == ["any"]


class TestOpenable:
    """What is found out about the data before the first trial."""

    @pytest.fixture
    def seen(self, monkeypatch):
        """What the data set holds: 4 identities x 10 images, every fifth a test image."""
        faces = Faces(
            tuple(f"{i}" for i in range(40)), np.arange(40) % 4, tuple("abcd"), None, test=np.arange(40) % 5 == 4
        )
        held = {"faces": faces}
        monkeypatch.setattr(datasets, "load", lambda name, **options: held["faces"])
        return held

    def without_test(self, seen):
        faces = seen["faces"]
        seen["faces"] = Faces(faces.names, faces.labels, faces.identities, None)

    def test_a_closed_set_test_is_test_enough(self, seen):
        assert seen["faces"].test is not None and parse().protocols == []
        checks.openable(parse())  # does not refuse it

    def test_a_study_without_protocol_and_closed_set_test_is_refused(self, seen):
        self.without_test(seen)
        with pytest.raises(
            RequestError, match=r"study 'toy': `protocols` is empty, and data set 'digits'.*no closed-set test"
        ):
            checks.openable(parse())

    def test_a_figure_of_a_closed_set_test_that_is_not_there_is_refused(self, seen):
        self.without_test(seen)
        text = EXPERIMENT.replace("protocols: []", "protocols: [{name: heldout, data: {name: digits}}]")
        with pytest.raises(
            RequestError, match=r"primary is 'closed/accuracy', and data set 'digits'.*no closed-set test"
        ):
            checks.openable(parse(text))

    @pytest.mark.parametrize(("count", "fits"), [(8, True), (9, False)])
    def test_batches_that_the_training_images_cannot_make_are_refused(self, seen, count, fits):
        own = f"trial: {{images_per_identity: {count}, batch_size: 32}}"
        study = parse(EXPERIMENT.replace("trial: {scorer: l2}", own))
        if fits:
            return checks.openable(study)
        with pytest.raises(RequestError, match=r"study 'toy', losses.center .003: .* identities with 9 images each"):
            checks.openable(study)


def test_what_is_asked_of_the_report_is_checked_before_anything_is_trained():
    says = refused(EXPERIMENT + "published: table-9\n")
    assert "line 14, key 'published'" in says and "no published table 'table-9'; there is: table-2" in says
    assert parse(EXPERIMENT + "published: table-2\n").published == "table-2"


def test_what_is_asked_of_the_report_may_change_after_the_runs():
    more = EXPERIMENT.replace("[scatter]", "[scatter, slope]") + "published: table-2\n"
    assert reading.digest(parse(more)) == reading.digest(parse())
    assert reading.digest(parse(EXPERIMENT.replace("seeds: 5", "seeds: 6"))) != reading.digest(parse())
