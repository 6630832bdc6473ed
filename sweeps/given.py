"""One study on two kinds of data: `given` in its file says what is different where the user's own files are there.

    given:
      files: [mnist/train-images*, mnist/train-labels*]     # below the data folder, --data or $FACEBENCH_DATA
      name: toy-mnist-full                                  # its records never mix with the study's own
      data: {name: mnist}

Where all the files are there, the overrides hold; where none is, they do not, and the first line of a run says which.
Some of them without the others are a mistake, and so are none where the data folder was named for this very call:
$FACEBENCH_DATA may have been set long ago for something else, `--data` is a wish.
"""

from typing import Any

from bench import places
from bench.errors import RequestError
from sweeps.study import Study


def applied(value: dict[str, Any]) -> dict[str, Any]:
    """A study file's plain data with the overrides of its `given` part.

    Mappings are merged key by key, all else is replaced; so is a mapping that names something else (`data: {name: ...}`),
    as the options of one data set mean nothing to another.
    """
    own = {key: one for key, one in value["given"].items() if key != "files"}
    return value | {key: _merged(value.get(key), one) for key, one in own.items()}


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict) or new.get("name", old.get("name")) != old.get("name"):
        return new
    return old | {key: _merged(old.get(key), one) for key, one in new.items()}


def holds(study: Study, own_data: bool) -> bool:
    """Whether the overrides of a study hold here.

    Args:
        own_data: whether the data folder was named for this very call.

    Raises:
        RequestError: only some of the files are there, or none of them although `own_data`.
    """
    assert study.given is not None
    missing = [pattern for pattern in study.given.files if not _found(pattern)]
    if missing and (own_data or len(missing) < len(study.given.files)):
        raise RequestError(
            f"study {study.name!r} takes other data from {', '.join(study.given.files)}, and there is no {missing[0]} in "
            f"{places.data('.')}: put all of them there, or run it without --data and $FACEBENCH_DATA on data set "
            f"{study.data['name']!r}"
        )
    return not missing


def line(study: Study) -> str:
    """What a run says first: which data it is on, and what else it might be on; "" where there is no choice."""
    if study.given is None:
        return ""
    on = f"study {study.name!r} on data set {study.data['name']!r}"
    if study.name == study.given.name:
        return f"{on}, from the files in {places.data('.')}"
    return (
        f"{on}; where --data or $FACEBENCH_DATA has {', '.join(study.given.files)}, it is {study.given.name!r} on them"
    )


def _found(pattern: str) -> bool:
    try:
        folder = places.data(".")
    except RequestError:  # no data folder is named, or there is none where it was
        return False
    return any(folder.glob(pattern))
