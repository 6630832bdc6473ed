"""Many trials: study files, the tuner, the pool, the driver.

    folder = sweeps.sweep("smoke", address="inline")     # runs/smoke/
    sweeps.status("smoke")                                # where every trial stands

Nothing heavy is imported until it is asked for.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps.study import Study


def sweep(study: "str | Path | Study", **options: Any) -> Path:
    """Run a study file, or go on with it where it stood; see `sweeps.session.sweep`."""
    from sweeps.session import sweep

    return sweep(study, **options)


def load(study: str | Path, **options: Any) -> "Study":
    """A study file, read and checked; `sweep` takes it; see `sweeps.reading.load`."""
    from sweeps.reading import load

    return load(study, **options)


def shipped() -> list[str]:
    """The names of the studies that come with facebench."""
    from sweeps.reading import shipped

    return shipped()


def status(study: str) -> dict[str, Any]:
    """Where a study's trials stand; see `sweeps.state.status`."""
    from sweeps.state import status

    return status(study)


def overview() -> dict[str, Any]:
    """`{"runs": folder, "studies": [...]}`: where all studies stand; see `sweeps.state.studies`."""
    from bench import places
    from sweeps.state import studies

    return {"runs": str(places.runs()), "studies": studies()}


def named(study: str) -> str:
    """The name of a study that is given as a yaml file, as the name of a shipped one, or as its own."""
    return load(study).name if Path(study).is_file() or study in shipped() else study
