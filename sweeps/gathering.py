"""The end of a shared study: the records that other drivers wrote come from MLflow, so that this folder has the whole."""

from collections.abc import Callable
from pathlib import Path

from bench import record, tracking
from bench.errors import RequestError
from sweeps.driver import Driver

PATIENCE = 60.0  # seconds that what another driver has ended may take to come


def gather(driver: Driver, say: Callable[[str], None]) -> None:
    """Fetch the records of trials that others ended; what does not come is said, with what to do."""
    study, folder = driver.study.name, driver.folder
    wanted = {trial for trial, state in driver.others.items() if not _is_here(folder / trial, state)}
    if not wanted:
        return
    try:
        missing = tracking.fetch(study, folder, wanted, PATIENCE)
    except RequestError as error:
        say(str(error))
        missing = wanted
    if missing:
        say(
            f"{len(missing)} of {len(driver.others)} trials of other drivers are not in MLflow yet, and not in this report: "
            f"`facebench sync {study}` where they were run, then the same command here"
        )


def _is_here(folder: Path, state: str) -> bool:
    """Whether another driver's record was fetched before, and is still how its trial ended."""
    return (folder / tracking.MARK).exists() and record.read(folder).state == state
