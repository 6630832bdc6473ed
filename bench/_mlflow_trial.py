"""How one trial's run is filled: each call sends what the store lacks, and no more."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench import ledger
from bench._mlflow_data import inputs, training
from bench._mlflow_model import NONE, Hurried, Models, wanted
from bench._mlflow_run import STATUS, Shown, batches, checkpoints, digest, facts, files, missing, parameters
from bench._mlflow_store import LEDGER, MODEL, STUDY, upload
from bench.drivers import identity
from bench.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class Filler:
    """Fills the runs of a study's trials.

    Args:
        of, tracking: the store.
        experiment, parent: the study there.
        folder: the study here.
        live: whether the study is running.
    """

    def __init__(self, of: "MlflowClient", tracking: str, experiment: str, parent: str, folder: Path, live: bool):
        self._client = of
        self._tracking = tracking
        self._parent = parent
        self._folder = folder
        self._live = live
        self._data: set[tuple[str, str]] = set()  # datasets that the parent has
        self._models = Models(of, experiment)

    def fill(self, known: Record, shown: Shown) -> bool:
        """Everything of a trial but its model, which takes seconds; whether one is to be made."""
        if not shown.is_up_to_date(known):
            self._record(known, shown)
        return shown.whole and not shown.model and wanted(known)

    def model(self, known: Record, shown: Shown) -> None:
        """Make a trial's model, unless the study is being stopped.

        Raises:
            Failed: the process that makes it is gone, or could not do so now.
        """
        with contextlib.suppress(Hurried):
            shown.model = self._models.complete(known, shown.run, self._hurried)
            if shown.model.startswith(NONE):
                self.upload(shown, checkpoints(known))
            self._client.set_tag(shown.run, MODEL, shown.model[:1000])

    def present(self, run: "Run") -> set[tuple[str, int]]:
        """The (metric, step) pairs that a run has."""
        history = (self._client.get_metric_history(run.info.run_id, key) for key in run.data.metrics)
        return {(metric.key, metric.step) for metrics in history for metric in metrics}

    def set_status(self, shown: Shown, status: str) -> None:
        if shown.status == status:
            return
        if status == "RUNNING":
            self._client.update_run(shown.run, status=status)
        else:
            self._client.set_terminated(shown.run, status)
        shown.status = status

    def upload(self, shown: Shown, paths: list[Path]) -> None:
        upload(shown.place, self._tracking, paths)

    def log_ledger(self) -> None:
        """Every look at a test that this study took."""
        study = json.loads((self._folder / STUDY).read_text())["name"]
        own = [entry for entry in ledger.entries() if entry.get("study") == study]
        if own:
            driver = identity(self._folder)  # each of several has a file of its own
            file = f"{Path(LEDGER).stem}-{driver}.jsonl" if driver else LEDGER
            self._client.log_text(self._parent, "".join(f"{json.dumps(entry)}\n" for entry in own), file)

    def _record(self, known: Record, shown: Shown) -> None:
        if shown.whole:
            # A run that the machine lost was sent as failed, and is run again.
            shown.whole = False
            shown.sent = self.present(self._client.get_run(shown.run))
            self._client.set_tag(shown.run, "facebench.whole", "false")
        ended, record_ = known.state in STATUS, digest(known)
        if ended or not shown.described:
            weights = [] if wanted(known) else checkpoints(known)  # stored once: the model holds them
            self.upload(shown, files(known) + weights)  # before the parameters: they say that trial.json is there
        figures = missing(known, shown.sent)
        new = [] if shown.described else parameters(known)
        for batch in batches(figures, new, facts(known, record_) if ended else []):
            self._client.log_batch(shown.run, *batch)
        shown.described = True
        shown.sent |= {(metric.key, metric.step) for metric in figures}
        if ended:
            self._datasets(known, shown)
        if ended and known.scores:
            self.log_ledger()
        self.set_status(shown, STATUS.get(known.state, "RUNNING" if self._live else shown.status))
        if ended:
            # The last word: a run without it is completed by the next `fill`.
            self._client.set_tag(shown.run, "facebench.whole", "true")
            shown.whole, shown.record, shown.sent = True, record_, set()

    def _datasets(self, known: Record, shown: Shown) -> None:
        """Those of the trial; the study's run has each training set once, those of the tuning trials too."""
        own = training(known)
        if own and own not in self._data:
            self._client.log_inputs(self._parent, inputs(known)[:1])
            self._data.add(own)
        if shown.lacks_data(known):
            self._client.log_inputs(shown.run, inputs(known))
            shown.data = True

    def _hurried(self) -> bool:
        """Whether the study is being stopped: its state is on disk before MLflow is told."""
        return self._live and json.loads((self._folder / STUDY).read_text())["state"] not in ("running", "finished")
