"""Optuna's database as a sweep uses it: a call that fails because the database is away is repeated until it is back.

A call whose answer was lost may have been done. Of Optuna's calls most may simply be done again (they read, or set a value
that is then set already); the others are:

- `create_new_trial` would ask a second trial: each is made with a mark of its own, by which it is found again.
- `set_trial_state_values` finds the trial finished: it was this call that did it, since a trial has one writer.
- `delete_study` finds it gone.
- `create_new_study` finds its name taken; whoever calls it takes the one that is there.
"""

import copy
import functools
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages._rdb import models
from optuna.trial import TrialState, create_trial
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from bench.credentials import hidden
from sweeps.rows import Rows

FIRST, LONGEST = 0.2, 5.0  # seconds between two tries
REMIND = 60.0  # seconds between two lines that say that it still waits
MARK = "facebench:ask"


def away(error: BaseException) -> bool:
    """Whether an error says that the database is away or busy: the same call may succeed later."""
    if isinstance(error, StorageInternalError):
        error = error.__cause__ or error
    if not isinstance(error, DBAPIError):
        return False
    if type(error.orig).__module__ == "sqlite3":
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


class Patience:
    """Repeats what fails because a database is away, without end; says so at once, every minute, and when it goes on.

    Args:
        where: the database, for the lines.

    Attributes:
        say: prints a line; stderr, until it is replaced.
        waiting: the context in which it waits, where a sweep may be interrupted (`sweeps.signals`).
    """

    def __init__(self, where: str):
        self.where = where
        self.say: Callable[[str], None] = _stderr
        self.waiting: Callable[[], AbstractContextManager] = nullcontext

    def __call__(self, call: Callable[[bool], Any]) -> Any:
        """What `call` returns; it is told whether it was tried before."""
        begun: float | None = None  # when it failed first
        said = 0.0
        pause = FIRST
        while True:
            try:
                found = call(begun is not None)
            except Exception as error:
                if not away(error):
                    raise
                now = time.monotonic()
                if begun is None or now - said >= REMIND:
                    begun, said = now if begun is None else begun, now
                    self.say(f"{self.where} does not answer ({_cause(error)}): waiting ({now - begun:.0f} s so far)")
            else:
                if begun is not None:
                    self.say(f"{self.where} answers again after {time.monotonic() - begun:.0f} s: going on")
                return found
            with self.waiting():
                time.sleep(pause)
            pause = min(LONGEST, 2 * pause)


def _cause(error: Exception) -> str:
    origin = error.__cause__ if isinstance(error, StorageInternalError) else error
    text = str(getattr(origin, "orig", None) or origin).strip()
    return hidden(text.splitlines()[-1]) if text else type(origin).__name__


def _stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Database(Rows):
    """Optuna's storage in a database by URL, patient (`Database.patience`).

    Args:
        url: as SQLAlchemy takes it.
        engine: options of SQLAlchemy's engine.
    """

    def __init__(self, url: str, engine: dict[str, Any]):
        parts = make_url(url)
        self.patience = Patience(f"the database at {parts.host or parts.database}")
        self._mark = ""
        self._tried = False
        super().__init__(url, engine)

    def close(self) -> None:
        """Let go of all connections."""
        self.scoped_session.remove()
        self.engine.dispose()

    def _create_new_trial(self, study_id: int, template_trial: Any = None) -> Any:
        self._mark, self._tried = uuid.uuid4().hex, False
        marked = copy.copy(template_trial or create_trial(state=TrialState.RUNNING))
        marked.system_attrs = {**marked.system_attrs, MARK: self._mark}
        return self.patience(lambda _: super(Database, self)._create_new_trial(study_id, marked))

    def _get_prepared_new_trial(self, study_id: int, template_trial: Any, session: Any) -> Any:
        """Called under the study's lock; Optuna's own repetitions come through here too."""
        tried, self._tried = self._tried, True
        if tried and (found := self._marked(study_id, session)):
            return found
        return super()._get_prepared_new_trial(study_id, template_trial, session)

    def _marked(self, study_id: int, session: Any) -> Any:
        """The trial that was made by a try whose answer was lost."""
        attribute = models.TrialSystemAttributeModel
        marked = session.query(models.TrialModel).join(attribute).filter(models.TrialModel.study_id == study_id)
        return marked.filter(attribute.key == MARK, attribute.value_json == f'"{self._mark}"').one_or_none()

    def set_trial_state_values(self, trial_id: int, state: Any, values: Any = None) -> bool:
        def call(again: bool) -> bool:
            try:
                return super(Database, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if again:
                    return True
                raise

        return self.patience(call)

    def delete_study(self, study_id: int) -> None:
        def call(again: bool) -> None:
            try:
                super(Database, self).delete_study(study_id)
            except KeyError:
                if not again:
                    raise

        self.patience(call)


def _patient(name: str) -> Callable[..., Any]:
    method = getattr(Rows, name)

    @functools.wraps(method)
    def call(self: Database, *args: Any, **options: Any) -> Any:
        return self.patience(lambda _: method(self, *args, **options))

    return call


# Whatever Optuna's cache calls of its backend and may simply be done again.
for _name in (
    "create_new_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "_set_trial_param",
    "get_trial_id_from_study_id_trial_number",
    "_get_best_trial_id",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "_get_trials",
):
    setattr(Database, _name, _patient(_name))
