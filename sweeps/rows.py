"""Optuna's database, read by the row: Optuna makes an object of each of a trial's figures, 10 s for 10,000 trials.

What is read is what Optuna reads (a test compares the two); only how differs. All that writes is Optuna's own.
"""

import json
import math
from collections import defaultdict
from collections.abc import Container
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, String, or_, select, type_coerce

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MOST = 500  # trials that are named one by one in a query; SQLite takes 999


class Rows(RDBStorage):
    """Optuna's storage in a database, with trials that are read fast."""

    def get_trial(self, trial_id: int) -> FrozenTrial:
        with _create_scoped_session(self.scoped_session) as session:
            if not (found := _trials(session, [models.TrialModel.trial_id == trial_id])):
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
        trial = models.TrialModel
        named = [one for one in included_trial_ids if one <= trial_id_greater_than]
        if len(named) > MOST:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        where: list[ColumnElement[bool]] = [trial.study_id == study_id]
        if trial_id_greater_than > -1:
            where.append(or_(trial.trial_id > trial_id_greater_than, trial.trial_id.in_(named)))
        if states is not None:
            where.append(trial.state.in_([state for state in TrialState if state in states]))
        with _create_scoped_session(self.scoped_session) as session:
            found = _trials(session, where)
            if not found:
                models.StudyModel.find_or_raise_by_id(study_id, session)
            return found


def _trials(session: "Session", where: list[ColumnElement[bool]]) -> list[FrozenTrial]:
    """The trials that fulfil all conditions, by id. They are read before what belongs to them, as Optuna does."""
    connection = session.connection()
    trial = models.TrialModel.__table__.c
    columns = (trial.trial_id, trial.number, trial.state, trial.datetime_start, trial.datetime_complete)
    rows = connection.execute(select(*columns).where(*where).order_by(trial.trial_id)).all()
    if not rows:
        return []

    def children(model: Any, *names: str) -> dict[int, list[Any]]:
        """Trial id -> the rows of another table that belong to it, in the order they were made, as (id, column, ...)."""
        table = model.__table__
        # The kind of a number as it stands there: to make a member of the enumeration of each costs as much as to read it.
        wanted = [type_coerce(table.c[name], String) if name.endswith("_type") else table.c[name] for name in names]
        query = select(table.c.trial_id, *wanted).join(models.TrialModel, trial.trial_id == table.c.trial_id)
        found: dict[int, list[Any]] = defaultdict(list)
        for row in connection.execute(query.where(*where).order_by(*table.primary_key)):
            found[row[0]].append(row)
        return found

    params = children(models.TrialParamModel, "param_name", "param_value", "distribution_json")
    values = children(models.TrialValueModel, "objective", "value", "value_type")
    users = children(models.TrialUserAttributeModel, "key", "value_json")
    systems = children(models.TrialSystemAttributeModel, "key", "value_json")
    steps = children(models.TrialIntermediateValueModel, "step", "intermediate_value", "intermediate_value_type")
    return [
        FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=[_number(figure, kind) for _, _, figure, kind in sorted(values[one], key=_place)]
            if one in values
            else None,
            datetime_start=_local(begun),
            datetime_complete=_local(ended),
            params={name: _distribution(text).to_external_repr(inner) for _, name, inner, text in params.get(one, ())},
            distributions={name: _distribution(text) for _, name, _, text in params.get(one, ())},
            user_attrs={key: json.loads(text) for _, key, text in users.get(one, ())},
            system_attrs={key: json.loads(text) for _, key, text in systems.get(one, ())},
            intermediate_values={place: _number(figure, kind) for _, place, figure, kind in steps.get(one, ())},
            trial_id=one,
        )
        for one, number, state, begun, ended in rows
    ]


def _place(row: Any) -> int:
    """Of a trial's value: that of its objective."""
    return row[1]


def _number(figure: float | None, kind: str) -> float:
    """A figure as the database holds it: what is not finite only by the name of its kind."""
    return figure if figure is not None else _ODD[kind]


_ODD = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


@lru_cache(maxsize=1024)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _local(utc: datetime | None) -> datetime | None:
    """The database holds naive UTC, Optuna hands out naive local time."""
    return None if utc is None else utc.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
