"""Where a test protocol meets its pixels, and its answer becomes plain data."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import bin_images, datasets, development, places, protocols
from bench.errors import RequestError
from bench.files import FileImages, Tree, images_below
from bench.identities import held_out
from bench.images import Source
from bench.scorers import COSINE, Scorer
from bench.scores import Scores

# What a protocol's mapping may say besides its own options.
KEYS = frozenset({"data", "root", "faces", "holdout", "holdout_seed", "allow_missing", *protocols.COMMON})


def open_protocol(spec: Mapping[str, Any]) -> tuple[Any, Source]:
    """The protocol and the source of its images.

    Args:
        spec: one of
            `{"name": "lfw", "data": {"name": "faces", ...}}`: the test that an embedded data set carries itself;
            `{"name": "heldout", "faces": {"name": "recordio", ...}, "holdout": 0.2, "holdout_seed": 0}`: `heldout` or
            `retrieval` among the images of any data set, or of the identities that a trial with this holdout sets aside;
            `{"name": "lfw", "root": FOLDER, "images": [...], ...options}`, with paths that are absolute or relative to
            `$FACEBENCH_DATA` (`root`'s default).
            Every one of them takes `groups`; the last one `allow_missing: true`, which leaves out the images that are not
            there and marks every figure as partial.

    Raises:
        RequestError: an unknown protocol, option or file.
    """
    protocol, source = _parts(spec)
    found = source()
    if spec.get("allow_missing") and (known := getattr(found, "names", None)) is not None:
        missing = set(protocol.images) - set(known)
        protocol = protocol.without(missing) if missing else protocol
    return protocol, found


def create(spec: Mapping[str, Any]) -> Any:
    """The protocol alone, for embeddings that are made already: no image is looked for that its lists do not ask for.

    Raises:
        RequestError: an unknown protocol, option or file.
    """
    return _parts(spec)[0]


def _parts(spec: Mapping[str, Any]) -> tuple[Any, Callable[[], Source]]:
    options = dict(spec)
    name = options.pop("name", None)
    if not isinstance(name, str) or not name:
        raise RequestError(f"a protocol needs a name ({', '.join(protocols.names())}), got {dict(spec)}")
    if not isinstance(options.get("allow_missing", False), bool):
        raise RequestError(f"allow_missing is true or false, got {options['allow_missing']!r}")
    if "allow_missing" in options and "allow_missing" not in protocols.options_of(name):
        del options["allow_missing"]
    if ("data" in options or "faces" in options) and "root" in options:
        raise RequestError(f"protocol {name!r} is of `data` or `faces`, or of a `root`: give one of them")
    if "data" in options or "faces" in options:
        options |= {key: _own_file(options[key]) for key in protocols.COMMON if isinstance(options.get(key), str)}
    if (data := options.pop("data", None)) is not None:
        lists, source = datasets.protocol(data, name)
        return protocols.create(name, root=lists, **options), lambda: source
    if (faces := options.pop("faces", None)) is not None:
        names, source = _of_faces(faces, options.pop("holdout", 0), options.pop("holdout_seed", 0))
        return protocols.create(name, root={"images.txt": "\n".join(names)}, **options), lambda: source
    protocols.options_of(name)  # an unknown name is answered before its folder is looked for
    root = places.data(options.pop("root", "."))
    protocol = protocols.create(name, root=root, **options)
    if name == "bins":  # its lists hold the images too
        return protocol, lambda: bin_images.source(root, options.get("files"))
    return protocol, lambda: _source(root, protocol, options.get("images"))


def _own_file(wanted: str) -> str:
    """A file of the user's for a protocol without a folder of its own: absolute; `FILE:COLUMN` keeps its column."""
    file, colon, column = wanted.partition(":")
    return f"{places.data(file)}{colon}{column}"


def _source(root: Path, protocol: Any, images: Any) -> Source:
    if isinstance(images, list | tuple):  # a word is a list file of the protocol's
        paths = [path if path.is_absolute() else root / path for path in map(Path, images)]
        return FileImages([("", Tree(places.data(path))) for path in paths], getattr(protocol, "depth", None))
    return images_below(root, protocol.images[0].count("/") + 1)


def _of_faces(data: Any, holdout: Any, seed: Any) -> tuple[list[str], Source]:
    """The images of a data set, or of the identities of it that are held out."""
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise RequestError(f"a protocol's faces are a data set like {{name: folder, ...}}, got {data!r}")
    if isinstance(holdout, bool) or not isinstance(holdout, int | float) or not 0 <= holdout < 1:
        raise RequestError(f"holdout is the share of identities held out, 0 <= holdout < 1, got {holdout!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise RequestError(f"holdout_seed is a whole number from 0 on, got {seed!r}")
    options = dict(data)
    found = datasets.load(options.pop("name"), **options)
    if not holdout:
        return list(found.names), found.source
    chosen = np.isin(found.labels, held_out(len(found.identities), holdout, seed))
    return [name for name, take in zip(found.names, chosen, strict=True) if take], found.source


def plain(
    scores: Scores,
    protocol: Any,
    overlap: dict[str, str] | None = None,
    scorer: Scorer | None = None,
    frozen: development.Frozen | None = None,
) -> dict[str, Any]:
    """The answer without its raw arrays, as it stands in a record.

    `scorer` is named where it is not cosine's own, `frozen` where its thresholds were entered.
    """
    body = asdict(replace(scores, raw={}))
    del body["raw"]
    said = {"primary": protocol.primary, "spec": protocol.spec, "hash": protocol.hash, "overlap": overlap or {}}
    by = {"scorer": scorer.spec} if scorer and scorer.spec != COSINE.spec else {}
    return {**body, **said, **by, **development.said(frozen)}


def raw(scores: Scores, protocol: Any) -> dict[str, Any]:
    """The raw arrays under `protocol/what`."""
    return {f"{protocol.name}/{what}": array for what, array in scores.raw.items()}
