"""Optuna's database by the row: Optuna makes an object of each figure that it reads, 10 s for 10,000 trials.

What is read, and what is written of a new trial, is what Optuna reads and writes (tests compare them); only how differs.
"""

import json
import math
from collections import defaultdict
from collections.abc import Container
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import String, bindparam, select, type_coerce

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MOST = 500  # trials that are named in one query; SQLite takes 999
_ODD = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


class Rows(RDBStorage):
    """Optuna's storage in a database, with trials that are read fast."""

    def get_trial(self, trial_id: int) -> FrozenTrial:
        with _create_scoped_session(self.scoped_session) as session:
            if not (found := _frozen(session, _in_parts(session, _NAMED, [trial_id]))):
                raise KeyError(f"no trial {trial_id} in the database")
            return found[0]

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """The study's trials in one of `states` (None: any) that are named or younger than the given one, by their id."""
        older = sorted(one for one in included_trial_ids if one <= trial_id_greater_than)
        with _create_scoped_session(self.scoped_session) as session:
            rows = _in_parts(session, _NAMED, older)
            rows += session.connection().execute(_AFTER, {"study": study_id, "after": trial_id_greater_than}).all()
            if not rows:
                models.StudyModel.find_or_raise_by_id(study_id, session)
            return _frozen(session, [row for row in rows if states is None or row[2] in states])

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: "Session") -> Any:
        """A running trial with its parameters and system attributes, in three statements.

        Optuna looks up, for each parameter, the trial and the parameter's range in earlier trials; a search has one space.
        Any other trial is written by Optuna.
        """
        template = template_trial
        if (
            template is None
            or template.state is not TrialState.RUNNING
            or template.user_attrs
            or template.intermediate_values
        ):
            return super()._get_prepared_new_trial(study_id, template_trial, session)
        trial = models.TrialModel(
            study_id=study_id, number=None, state=TrialState.RUNNING, datetime_start=template.datetime_start
        )
        session.add(trial)
        session.flush()
        kinds = template.distributions
        session.add_all(
            models.TrialParamModel(
                trial_id=trial.trial_id,
                param_name=name,
                param_value=kinds[name].to_internal_repr(value),
                distribution_json=distribution_to_json(kinds[name]),
            )
            for name, value in template.params.items()
        )
        session.add_all(
            models.TrialSystemAttributeModel(trial_id=trial.trial_id, key=key, value_json=json.dumps(value))
            for key, value in template.system_attrs.items()
        )
        trial.number = trial.count_past_trials(session)
        return trial


def _in_parts(session: "Session", statement: Any, trials: list[int]) -> list[Any]:
    """What a query finds of these trials, so many at a time."""
    connection = session.connection()
    parts = (trials[start : start + MOST] for start in range(0, len(trials), MOST))
    return [row for part in parts for row in connection.execute(statement, {"trials": part})]


def _frozen(session: "Session", rows: list[Any]) -> list[FrozenTrial]:
    """The trials of these rows, with what belongs to them; that is read later, as Optuna does."""
    trials = [row[0] for row in rows]
    children: list[dict[int, list[Any]]] = []
    for statement in _CHILDREN:
        of = defaultdict(list)
        for child in _in_parts(session, statement, trials):
            of[child[0]].append(child)
        children.append(of)
    return [_trial(row, *(of.get(row[0], ()) for of in children)) for row in rows]


def _of_trials(model: Any, *names: str) -> Any:
    """The rows of another table that belong to trials, as (trial id, column, ...), in the order they were made."""
    table = model.__table__
    # The kind of a number by its name: to make a member of the enumeration of each costs as much as to read it.
    columns = [type_coerce(table.c[name], String) if name.endswith("_type") else table.c[name] for name in names]
    wanted = table.c.trial_id.in_(bindparam("trials", expanding=True))
    return select(table.c.trial_id, *columns).where(wanted).order_by(*table.primary_key)


def _trial(row: Any, params: Any, values: Any, users: Any, systems: Any, steps: Any) -> FrozenTrial:
    one, number, state, begun, ended = row
    return FrozenTrial(
        number=number,
        state=state,
        value=None,
        values=[_number(figure, kind) for _, _, figure, kind in sorted(values, key=lambda v: v[1])] or None,
        datetime_start=_local(begun),
        datetime_complete=_local(ended),
        params={name: _distribution(text).to_external_repr(inner) for _, name, inner, text in params},
        distributions={name: _distribution(text) for _, name, _, text in params},
        user_attrs={key: json.loads(text) for _, key, text in users},
        system_attrs={key: json.loads(text) for _, key, text in systems},
        intermediate_values={step: _number(figure, kind) for _, step, figure, kind in steps},
        trial_id=one,
    )


def _number(figure: float | None, kind: str) -> float:
    """A figure as the database holds it: one that is not finite only as the name of its kind."""
    return _ODD[kind] if figure is None else figure


@lru_cache(maxsize=1024)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _local(utc: datetime | None) -> datetime | None:
    """The database holds naive UTC, Optuna hands out naive local time."""
    return None if utc is None else utc.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


# Made once: to make a statement takes longer than to run it.
_TRIAL = models.TrialModel.__table__.c
_TRIALS = select(_TRIAL.trial_id, _TRIAL.number, _TRIAL.state, _TRIAL.datetime_start, _TRIAL.datetime_complete)
_NAMED = _TRIALS.where(_TRIAL.trial_id.in_(bindparam("trials", expanding=True))).order_by(_TRIAL.trial_id)
_AFTER = _TRIALS.where(_TRIAL.study_id == bindparam("study"), _TRIAL.trial_id > bindparam("after")).order_by(
    _TRIAL.trial_id
)
_CHILDREN = (
    _of_trials(models.TrialParamModel, "param_name", "param_value", "distribution_json"),
    _of_trials(models.TrialValueModel, "objective", "value", "value_type"),
    _of_trials(models.TrialUserAttributeModel, "key", "value_json"),
    _of_trials(models.TrialSystemAttributeModel, "key", "value_json"),
    _of_trials(models.TrialIntermediateValueModel, "step", "intermediate_value", "intermediate_value_type"),
)
