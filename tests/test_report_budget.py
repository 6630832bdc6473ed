"""What the report says of budgets: what each search cost, which ended early and why, what the study used of its own limits."""

import json

import pytest
from made_up_study import copy, full, runs, text_of  # noqa: F401 (fixtures)

import reports
from reports import _sections
from reports._caveats import caveats

WHY = "its 3 remaining trials would reach 0.8123 at best, lmcl reaches 0.8500 at least"


@pytest.fixture
def study(copy):
    path = copy / "study.json"
    facts = json.loads(path.read_text())
    facts["cells"] = {
        "cnn4/center": {"stopped_early": {"by": "early_stop", "reason": WHY}},
        "cnn4/lmcl": {"stopped_early": None},
        "cnn4/softmax": {},
    }
    facts["file"] = {"budget": {"max_trials": 200, "max_hours": 12.5, "max_gpu_hours": None}}
    facts["used"] = {"trials": 37, "hours": 3.25, "gpu_hours": 0.0}
    path.write_text(json.dumps(facts))
    return reports.read(copy)


def test_a_search_that_ended_early_says_after_how_many_epochs_and_why(study):
    page = text_of(_sections.find("tuning").render(study))
    assert f"The search of center stopped early, after 39 of 48 epochs: {WHY}." in page
    assert page.count("stopped early") == 1
    assert "The search stopped early for center: see Tuning." in caveats(study)


def test_the_limits_of_the_study_stand_beside_what_was_used(study):
    page = text_of(_sections.find("tuning").render(study))
    assert "Budget of the whole study, used: 37 of 200 trials and 3.25 of 12.5 hours." in page


def test_without_limits_nothing_is_said_of_them(full):
    page = text_of(_sections.find("tuning").render(full))
    assert "Budget of the whole study" not in page and "early" not in page
    assert not any("early" in sentence for sentence in caveats(full))
