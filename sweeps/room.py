"""What the nodes of a cluster have, and how many trials fit into it. It knows neither Ray nor a trial."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sweeps.parts import Resources

GIB = 2**30
_UNIT = 10_000  # Ray counts resources in ten-thousandths


class Node(NamedTuple):
    """A node that is alive.

    Attributes:
        id: Ray's; a node that comes back at the same address has another one.
        has: amount of each of Ray's resources (`CPU`, `GPU`, `memory` in bytes, custom ones), taken or free.
    """

    id: str
    address: str
    has: Mapping[str, float]


def holds(node: Node, wanted: Resources) -> int:
    """How many such trials a node holds that does nothing else."""
    counts = [_units(node.has.get(name, 0)) // _units(amount) for name, amount in demands(wanted).items()]
    if 0 < wanted.gpus < 1:  # each share lies on one GPU: of 0.34 there are two on a GPU and not five on two
        counts.append(int(node.has.get("GPU", 0)) * (_UNIT // _units(wanted.gpus)))
    return min(counts)


def fit(wanted: Resources, there: Iterable[Node]) -> int:
    """How many such trials the nodes hold at once."""
    return sum(holds(node, wanted) for node in there)


def most(name: str, there: Iterable[Node]) -> float:
    """The largest amount of a resource (as in `Resources`: CPUs, GPUs, GiB) on any node."""
    ray_name, unit = {"cpus": ("CPU", 1), "gpus": ("GPU", 1), "memory": ("memory", GIB)}[name]
    return max((node.has.get(ray_name, 0) / unit for node in there), default=0)


def no_room(wanted: Resources, there: Iterable[Node]) -> str:
    """The sentence that no node can hold a trial: what it asks for, and what there is."""
    kinds = Counter(_said(node.has, wanted) for node in there)
    shown = "; ".join(f"{count} nodes with {kind} each" if count > 1 else kind for kind, count in kinds.items())
    asked = _said(demands(wanted), wanted)
    return (
        f"a trial asks for {asked}, and no node can hold it (there is: {shown or 'no node'}): "
        "lower `resources` in the study file or use another cluster"
    )


def demands(wanted: Resources) -> dict[str, float]:
    """Ray's name of each resource that is asked for -> amount."""
    asked = {"CPU": wanted.cpus, "GPU": wanted.gpus, "memory": (wanted.memory or 0) * GIB} | wanted.custom
    return {name: amount for name, amount in asked.items() if amount}


def _said(has: Mapping[str, float], wanted: Resources) -> str:
    """Amounts in words: of CPUs and GPUs, and of whatever else is asked for."""
    words = [f"{has.get('CPU', 0):g} CPUs", f"{has.get('GPU', 0):g} GPUs"]
    if wanted.memory:
        words.append(f"{has.get('memory', 0) / GIB:.3g} GiB of memory")
    words += [f"{has.get(name, 0):g} {name}" for name in wanted.custom]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _units(amount: float) -> int:
    return round(amount * _UNIT)
