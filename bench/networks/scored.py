"""A network on a protocol: its images as the network wants them, embedded in batches, and scored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench import ledger, scoring, single, waiting
from bench.networks import opened
from bench.networks.network import Background, Network
from bench.pixels import pixels, row_hashes, whole
from bench.scores import Scores


class Scored(NamedTuple):
    """The protocol, its answer to the network, and what is known of the network's training."""

    protocol: Any
    answer: Scores
    background: Background


def evaluate(
    given: str,
    asked: Mapping[str, Any],
    spec: Mapping[str, Any],
    dev: Path | None = None,
    allow_overlap: bool = False,
) -> dict[str, Any]:
    """The plain scores of a network by a protocol, with what the network is and what it was given as `model`.

    Args:
        given, asked: the network, see `networks.opened`.
        spec: the protocol, see `bench.scoring.open_protocol`.
        dev: see `bench.single.evaluate`.
        allow_overlap: score although the training, where it is known, shares people with the test.

    Raises:
        RequestError: a network or protocol that cannot be opened, or one that does not fit the other.
    """
    frozen = single.thresholds(dev)
    network = opened(given, asked)
    found = score(network, spec, allow_overlap)
    single.enter(found.protocol, found.answer, frozen)
    ledger.append("evaluate", network.name, found.protocol.name, found.protocol.hash, found.answer.metrics)
    return plain(network, found, frozen)


def score(network: Network, spec: Mapping[str, Any], allow_overlap: bool = False) -> Scored:
    """Embed the protocol's images and score them. Whoever shows the answer enters it in the ledger.

    Raises:
        RequestError: as `evaluate`.
    """
    protocol, source = scoring.open_protocol(spec)
    wanted = network.inputs
    with waiting.bar("decoding images") as advance:
        shown = pixels(source, protocol.images, wanted.size, wanted.crop, wanted.channels, wanted.patch, advance)
    whole(shown, protocol.name)
    background = network.background(protocol, row_hashes(shown.array), allow_overlap)
    with waiting.bar("embedding images") as advance:
        rows = network.embed(shown.array, advance)
    return Scored(protocol, protocol.score(rows, background.scorer), background)


def plain(network: Network, found: Scored, frozen: Any = None) -> dict[str, Any]:
    """The answer as plain data, see `bench.scoring.plain`."""
    body = scoring.plain(found.answer, found.protocol, found.background.overlap, found.background.scorer, frozen)
    return body | {"model": network.plain()}
