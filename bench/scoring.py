"""Where a test protocol meets its pixels, and its answer becomes plain data."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bench import datasets, places, protocols
from bench.errors import RequestError
from bench.files import FileImages, Tree, images_below
from bench.images import Source
from bench.scorers import COSINE, Scorer
from bench.scores import Scores


def open_protocol(spec: Mapping[str, Any]) -> tuple[Any, Source]:
    """The protocol and the source of its images.

    Args:
        spec: `{"name": "lfw", "data": {"name": "faces", ...}}` for an embedded one; else `{"name": "lfw",
            "root": FOLDER, "images": [...], ...options}` with paths that are absolute or relative to `$FACEBENCH_DATA`
            (`root`'s default).

    Raises:
        RequestError: an unknown protocol, option or file.
    """
    options = dict(spec)
    name = options.pop("name", None)
    if not name:
        raise RequestError(f"a protocol needs a name ({', '.join(protocols.names())}), got {dict(spec)}")
    data = options.pop("data", None)
    if data is not None:
        lists, source = datasets.protocol(data, name)
        return protocols.create(name, root=lists, **options), source
    root = places.data(options.pop("root", "."))
    protocol = protocols.create(name, root=root, **options)
    if images := options.get("images"):
        paths = [path if path.is_absolute() else root / path for path in map(places.Path, images)]
        return protocol, FileImages([("", Tree(places.data(path))) for path in paths])
    return protocol, images_below(root, protocol.images[0].count("/") + 1)


def plain(
    scores: Scores, protocol: Any, overlap: dict[str, str] | None = None, scorer: Scorer | None = None
) -> dict[str, Any]:
    """The answer without its raw arrays, as it stands in a record; `scorer` is named where it is not cosine's own."""
    body = asdict(scores)
    del body["raw"]
    said = {"primary": protocol.primary, "spec": protocol.spec, "hash": protocol.hash, "overlap": overlap or {}}
    return {**body, **said, **({"scorer": scorer.spec} if scorer and scorer.spec != COSINE.spec else {})}


def raw(scores: Scores, protocol: Any) -> dict[str, Any]:
    """The raw arrays under `protocol/what`."""
    return {f"{protocol.name}/{what}": array for what, array in scores.raw.items()}
