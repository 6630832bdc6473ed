"""What the name of a figure says: its direction, what chance would reach, how a reader calls it."""

import re
from collections.abc import Mapping
from typing import Any

LOWER_IS_BETTER = ("eer", "loss", "fnir", "fnmr", "frr", "far")
SPREAD = ("_se", "_sd", "_low", "_high")  # how the names end that say another figure's spread
# The figure that stands for a protocol where the protocol names none: the first of these that it has.
LEADING = ("accuracy", "rank1", "auc", "eer")


def bare(metric: str) -> str:
    """`lfw/accuracy` -> `accuracy`."""
    return metric.rpartition("/")[2]


def closed(metric: str) -> bool:
    """Whether a figure (or a protocol's name) is of unseen images of the identities that were trained on."""
    return metric.partition("/")[0] == "closed"


def is_further(metric: str) -> bool:
    """Whether a figure stands beside a protocol's own: of a group, or of a part without what training may have seen."""
    return "-decontaminated/" in metric or "/group_" in metric


def higher_is_better(metric: str) -> bool:
    return bare(metric).partition("_")[0] not in LOWER_IS_BETTER


def chance(metric: str, counts: Mapping[str, Any]) -> float | None:
    """What scores drawn at random would reach, computed and not measured; None where it is not known.

    Closed-set accuracies 1 / identities. Accuracy, AUC and EER 0.5; TAR at a FAR is that FAR; rank-k with N distractors
    k / (N + 1), N being the number in the figure's name (`rank1_at_1000`), else the number of distractors that the
    protocol counted.
    """
    name = bare(metric)
    if closed(metric):
        return 1 / int(counts["identities"]) if counts.get("identities") else None
    if re.match(r"(accuracy|auc|eer)($|_)", name) and not name.endswith(SPREAD):
        return 0.5
    if found := re.match(r"tar_at_far_(.+)$", name):
        return float(found[1])
    if found := re.match(r"rank(\d+)", name):
        at = re.search(r"_at_(\d+)", name)
        distractors = int(at[1]) if at else counts.get("distractors")
        return None if distractors is None else int(found[1]) / (int(distractors) + 1)
    return None


def title(metric: str) -> str:
    """The figure in a reader's words: `lfw/tar_at_far_1e-3` -> `TAR at FAR 1e-3`."""
    if found := re.match(r"[^/]+/group_([^/]+)/(.+)$", metric):
        return f"{title(found[2])}, {found[1].replace('_', ' ')}"
    name = bare(metric)
    if found := re.match(r"(tar|far|frr)_at_(far|dev)_(.+)$", name):
        where = "FAR" if found[2] == "far" else "development FAR"
        return f"{found[1].upper()} at {where} {found[3]}".replace("-", "\N{NON-BREAKING HYPHEN}")
    if found := re.match(r"rank(\d+)(.*)$", name):
        at = re.match(r"_at_(\d+)$", found[2])
        rest = f", {int(at[1]):,} distractors" if at else found[2].replace("_", " ")
        return f"rank-{found[1]}{rest}"
    return {"auc": "AUC", "eer": "EER", "nearest": "1\N{NON-BREAKING HYPHEN}NN accuracy"}.get(
        name, name.replace("_", " ")
    )


def protocol_title(protocol: str) -> str:
    """`lfw` -> `LFW`; names that are no abbreviation stay as they are."""
    known = {"lfw": "LFW", "ytf": "YTF", "megaface": "MegaFace-style", "ijb": "IJB", "bins": "insightface .bin"}
    return (known | {"heldout": "held-out", "closed": "closed-set"}).get(protocol, protocol)


def full_title(metric: str) -> str:
    """`lfw/accuracy` -> `LFW accuracy`."""
    protocol, _, _ = metric.partition("/")
    name, _, aggregation = protocol.partition("-")
    return f"{protocol_title(name)} {title(metric)}" + (f" ({aggregation.replace('_', ' ')})" if aggregation else "")
