"""How a driver joins a study that several share, or begins it; what was lost to errors is free again then."""

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import drivers, index, record, tracking
from bench.errors import RequestError
from sweeps import database, lost, plan, reading, tuner
from sweeps.claims import ASIDE, Begun, Claims, key
from sweeps.parts import Budget
from sweeps.shared import Shared
from sweeps.study import Study


def join(
    study: Study,
    folder: Path,
    facts: dict[str, Any] | None,
    searches: Sequence[str],
    store: Any,
    say: Callable[[str], None],
) -> tuple[Study, str, Shared]:
    """Enter the study in its database.

    Args:
        study: what is asked; its `storage` is the database.
        folder: the study's folder here.
        facts: what `study.json` in it says, None where no trial was begun here.
        searches: what Optuna calls the study's searches.
        store: Optuna's side of the database; None where nothing is searched.
        say: is told what a user should know.

    Returns:
        The study with the leave to overlap that all its drivers share, when it was begun, the driver's share.

    Raises:
        RequestError: the database holds another study of that name, or cannot be opened.
    """
    assert study.storage is not None
    if study.budget != Budget() or (study.tune and study.tune.early_stop):
        raise RequestError(
            f"`budget` and `early_stop` are kept by one driver, and study {study.name!r} names a `storage` that several may "
            "share: leave out the one or the other"
        )
    claims = Claims(study.storage, study.name, say)
    with database.alone_at(study.storage):
        begun = _begun(study, folder, facts, searches, store, claims)
    study = study.model_copy(update={"allow_overlap": begun.overlap})
    share = Shared(claims, folder, study.objective)
    _free(study, share)
    study, _ = lost.overlap(study, folder, index.entries(folder))
    _clear(folder, share)
    return study, begun.created, share


def _begun(
    study: Study,
    folder: Path,
    facts: dict[str, Any] | None,
    searches: Sequence[str],
    store: Any,
    claims: Claims,
) -> Begun:
    """The study's start: found, or made. The database is held meanwhile."""
    there = claims.begun()
    said = Begun(
        reading.digest(study),
        # Tells two starts apart, however soon one follows the other.
        facts["created"] if facts else datetime.now(UTC).isoformat(timespec="microseconds"),
        study.allow_overlap,
    )
    others = set(claims.beats()) - {drivers.identity(folder)}
    if there and there.hash != said.hash and (others or claims.rows()):
        raise RequestError(
            f"the storage holds another study {study.name!r}, or another version of it: rename the study in its file"
        )
    if there and there.hash == said.hash:
        scored = any(where.role in lost.SHOWN and row.state == "finished" for where, row in claims.rows().items())
        said = there if scored else there._replace(overlap=said.overlap)
    elif facts is None:
        for name in searches if store else ():
            if tuner.exists(name, store):
                if not there and not (folder / "study.json").exists():
                    raise RequestError(f"the storage already holds {name!r}, not begun here: rename the study")
                tuner.forget(name, store)
    if said != there:
        claims.begin(said)
    return said


def _free(study: Study, share: Shared) -> None:
    """Runs that an error ended, at whatever driver, may be claimed anew; a search that was lost as a whole goes on."""
    for where, row in share.rows():
        if row.kind == "error" and where.role in lost.SHOWN:  # on finalists the winner may hang by now
            share.claims.remove(where, row)
    for place in plan.arms(study):
        rows = [(where, row) for where, row in share.rows() if where[:3] == (*place, "search")]
        trials = [row for _, row in rows if row.state not in ASIDE]
        asking = any(row.state == "asking" for _, row in rows)
        if trials and not asking and all(row.kind == "error" for row in trials):
            # The numbers stay used, for Optuna has them; what closed the search goes, so that it can ask for more.
            for where, row in rows:
                if row.state == "closed":
                    share.claims.remove(where, row)
                elif row.kind == "error":
                    share.claims.move(where, row.owner, row.state, row._replace(state="void", kind=""))
    share.refresh()


def _clear(folder: Path, share: Shared) -> None:
    """Of trials that are free again the final records go, of those that others took over all that was written here."""
    rows = dict(share.rows())
    for known in record.read_study(folder):
        row = rows.get(key(known.trial))
        fetched = (known.folder / tracking.MARK).exists()
        if (row and row.owner != share.name and not fetched) or (row is None and fetched):
            shutil.rmtree(known.folder)
        elif row is None and known.kind == "error":
            lost.reopen(known.folder)
