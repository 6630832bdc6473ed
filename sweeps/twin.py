"""A search in memory, where samplers and pruners work, and in the database, where it outlives its driver.

Optuna on a database reads and writes it some twenty times a trial, most of them to learn what this driver itself has just
said. Here it is written once for each thing that happens (a trial asked for, with its parameters; a figure; an end) and read
when a driver begins, or learns of the others.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from sweeps.patience import Database


class Twin:
    """An Optuna study in memory and its copy in a database.

    Args:
        name: the study's.
        storage: the database; None: there is none, and the search ends with its driver.
        options: of `optuna.create_study`.

    Attributes:
        study: the one in memory; another one after `load`.
    """

    study: optuna.Study

    def __init__(self, name: str, storage: "Database | None", **options: Any):
        self._name = name
        self._storage = storage
        self._options = options
        self._rows: list[int] = []  # the database's name of each trial, by number
        self._there = -1
        if storage is not None:
            optuna.create_study(study_name=name, storage=storage, load_if_exists=True, **options)
            self._there = storage.get_study_id_from_name(name)
        self.load()

    def trials(self) -> list[FrozenTrial]:
        """All trials as they stand in memory, by number. They are not to be changed."""
        return self.study.get_trials(deepcopy=False)

    def load(self) -> None:
        """Forget what is in memory, and read the database."""
        # A storage of its own, in which a trial's id is its number.
        self._memory = optuna.storages.InMemoryStorage()
        # Under the same name: Hyperband chooses a trial's bracket by it.
        self.study = optuna.create_study(study_name=self._name, storage=self._memory, **self._options)
        self._rows = []
        self.refresh()

    def refresh(self) -> None:
        """Learn what other drivers did."""
        if self._storage is None:
            return
        if len(self.trials()) > len(self._rows):  # an `enter` failed: the trial may be there, or not
            return self.load()
        last = max(self._rows, default=-1)
        unfinished = {self._rows[trial.number] for trial in self.trials() if not trial.state.is_finished()}
        for found in self._storage._get_trials(self._there, None, unfinished, last):
            if found._trial_id > last:
                self._rows.append(found._trial_id)
                self.study.add_trial(found)
            else:
                self._learn(self._rows.index(found._trial_id), found)

    def enter(self, number: int) -> bool:
        """Write a trial that was asked for into the database; False: another has its number there, and all is read anew."""
        if self._storage is None:
            return True
        found = self._storage._create_new_trial(self._there, self._memory.get_trial(number))
        if found.number != number:
            self.load()
            return False
        self._rows.append(found._trial_id)
        return True

    def complete(self, number: int) -> None:
        """Write the parameters that a trial lacks in the database."""
        if self._storage is None:
            return
        ours, there = self._memory.get_trial(number), self._storage.get_trial(self._rows[number])
        for name in ours.params.keys() - there.params.keys():
            kind = ours.distributions[name]
            self._storage.set_trial_param(there._trial_id, name, kind.to_internal_repr(ours.params[name]), kind)

    def report(self, number: int, step: int, figure: float) -> None:
        """Write a figure down; a second one at a step changes nothing."""
        if step in self._memory.get_trial(number).intermediate_values:
            return
        self._memory.set_trial_intermediate_value(number, step, figure)
        if self._storage is not None:
            self._storage.set_trial_intermediate_value(self._rows[number], step, figure)

    def prunes(self, number: int) -> bool:
        """Whether the pruner would end a trial now; what it notes down of it is kept."""
        before = self._memory.get_trial(number)
        prune = self.study.pruner.prune(self.study, before)
        if self._storage is not None:
            for key, value in self._memory.get_trial(number).system_attrs.items():
                if key not in before.system_attrs:  # that it came past a rung
                    self._storage.set_trial_system_attr(self._rows[number], key, value)
        return prune

    def tell(self, number: int, state: TrialState, figure: float | None) -> None:
        """Write the end of a trial down; of one that has ended, nothing."""
        self.study.tell(number, figure, state=state, skip_if_finished=True)
        if self._storage is None:
            return
        told = self._memory.get_trial(number)
        with suppress(UpdateFinishedTrialError):  # another driver was quicker: it told the same
            self._storage.set_trial_state_values(self._rows[number], told.state, told.values)

    def _learn(self, number: int, there: FrozenTrial) -> None:
        """Take over what is new of a trial that was unfinished when it was last seen."""
        ours = self._memory.get_trial(number)
        for name in there.params.keys() - ours.params.keys():
            kind = there.distributions[name]
            self._memory.set_trial_param(number, name, kind.to_internal_repr(there.params[name]), kind)
        for key, value in there.system_attrs.items():
            self._memory.set_trial_system_attr(number, key, value)
        for step, figure in there.intermediate_values.items():
            self._memory.set_trial_intermediate_value(number, step, figure)
        if there.state.is_finished():
            self._memory.set_trial_state_values(number, there.state, there.values)
