"""A study in one database, the claims in it, and what holds when all of its drivers are done."""

import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from made_up_sweep import make

RANDOM = {"trials": 5, "epochs": 3, "sampler": "random", "pruner": "none", "finalists": 2, "finalist_seeds": 1}


@pytest.fixture
def study(tmp_path):
    def made(**changes):
        return make(storage=f"sqlite:///{tmp_path / 'shared.db'}", **changes)

    return made


def rows(tmp_path, query):
    with closing(sqlite3.connect(tmp_path / "shared.db")) as base:
        return base.execute(query).fetchall()


def check_whole(tmp_path, many, names):
    """Every trial ended once, at one driver; Optuna knows all ends; all drivers made the same choices. All records."""
    claims = rows(tmp_path, "select owner, state from facebench_claims")
    assert not {state for _, state in claims} & {"asking", "running"}
    records = [known for name in names for known in many.records(name)]
    assert max(Counter(known.trial.id for known in records).values()) == 1
    assert len(records) == len([state for _, state in claims if state not in ("closed", "void")])
    assert {known.state for known in records} <= {"finished", "pruned"}
    assert set(rows(tmp_path, "select distinct state from trials")) <= {("COMPLETE",), ("PRUNED",)}
    cells = [{k: v for k, v in many.facts(name)["cells"].items()} for name in names]
    assert all(own == cells[0] for own in cells)
    return records
