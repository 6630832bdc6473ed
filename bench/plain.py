"""The plain data of a trial: what is asked (`Trial`), and what it tells while it runs (`Progress`, `Result`)."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, default=dict)


class Options(Mapping[str, Any]):
    """An immutable, hashable, ordered-by-key mapping of plain values (numbers, strings, booleans, lists, mappings)."""

    def __init__(self, values: Mapping[str, Any] | None = None, **more: Any):
        self._json = _CANONICAL.encode({**(values or {}), **more})
        self._values: dict[str, Any] = json.loads(self._json)

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        # A list or a mapping could be changed by whoever gets it: it gets its own.
        return json.loads(self._json)[key] if isinstance(value, list | dict) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(self._json)

    def __repr__(self) -> str:
        return f"Options({self._json})"

    def __deepcopy__(self, memo: dict) -> "Options":
        return self


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Everything that decides what a trial does. Two equal trials give equal numbers.

    Attributes:
        study, stage, role, number, seed: who asked for it. `stage` is `tune`, `default` or `confirm`; `role` is its
            part there: `search`, `finalist` (tune), `default`, `tuned`, `again` (the A/A row), `untrained` (confirm).
        data: the training set, `{"name": "faces", ...options of its load}`.
        holdout: share of the training identities set aside as development identities (0: all are trained on).
        holdout_seed: which ones.
        backbone, backbone_options, embedding_dim: the network.
        loss, loss_options: the criterion; `x_fraction` reaches the loss as `x_steps`, that share of all steps.
        image_size, crop, channels: pixels are the central `crop` square (None: all of it) scaled to `image_size`.
        epochs, batch_size, optimizer, learning_rate, weight_decay, momentum, schedule, warmup: the training.
            `schedule` is `cosine`, `step` or `constant`; `warmup` is a share of the run.
        augment: `flip`, `shift`, `brightness`, `contrast`, `grey`, `erase`, each a number (bench.augment).
        precision: `auto` (bf16 where the device gains from it), `bf16` or `float32`.
        flip: how the embeddings of an image and its mirror image are joined: `concat`, `add` or `none`.
        protocols: the test protocols scored at the end, `{"name": "lfw", ...options of its load}`.
        allow_overlap: score although training and test share people or images (the figure is marked).
        label: what the study calls this configuration, where that is not the loss's name.
        closed_every: each so-many-th image of every training identity is kept for the closed-set test (bench.closed); 0:
            none but those that the data set itself keeps for it.
        patch: (top, left, side) of the square that the network sees of each image, as shares of the image (None: all).
        patches: of an ensemble, what each of its networks sees; such a trial trains nothing itself (bench.fusion).
        images_per_identity: K of batches of P identities x K images; 1: any images; None: what the loss asks for.
        supervise: names of the network's submodules whose outputs are supervised too (DeepID2+), each by its own copy
            of the loss.
        scorer, scorer_options: how test embeddings are compared: `cosine`, `l2` or `joint_bayesian` (bench.scorers).
            Development figures, after every epoch, are always by cosine.
        keep: what is kept with the scores: `features` (embeddings of training and closed-set test images, class weights,
            centres), `embeddings` (those of the training images and of every protocol, as they were scored).
        shard_classes: whether a trial of several processes shares the class weights out among them (losses.Sharded).
        sample_classes: the share of the classes that a training step looks at (Partial FC); 1: all.
        search: which of the study's independent searches of this configuration it belongs to, from 1.
    """

    study: str = "single"
    stage: str = "confirm"
    role: str = "tuned"
    number: int = 0
    seed: int = 0
    data: Options = Options(name="digits")
    holdout: float = 0.0
    holdout_seed: int = 0
    backbone: str = "cnn4"
    backbone_options: Options = Options()
    embedding_dim: int = 128
    loss: str = "softmax"
    loss_options: Options = Options()
    image_size: int = 32
    crop: int | None = None
    channels: int = 3
    epochs: int = 5
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    momentum: float = 0.9
    schedule: str = "cosine"
    warmup: float = 0.05
    augment: Options = Options()
    precision: str = "auto"
    flip: str = "concat"
    protocols: tuple[Options, ...] = ()
    allow_overlap: bool = False
    label: str = ""
    closed_every: int = 0
    patch: tuple[float, float, float] | None = None
    patches: tuple[tuple[float, float, float], ...] = ()
    images_per_identity: int | None = None
    supervise: tuple[str, ...] = ()
    scorer: str = "cosine"
    scorer_options: Options = Options()
    keep: tuple[str, ...] = ()
    shard_classes: bool = False
    sample_classes: float = 1.0
    search: int = 1

    @property
    def name(self) -> str:
        """The row of a report that the trial belongs to: its label, else its loss."""
        return self.label or self.loss

    @property
    def arm(self) -> str:
        """`name` with its search: `lmcl`, and of further independent searches `lmcl #2`."""
        return arm(self.name, self.search)

    def plain(self) -> dict[str, Any]:
        """The trial as JSON-able data; `Trial.from_plain` reads it back."""
        return {name: _plain(getattr(self, name)) for name in _KINDS}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Trial":
        made: dict[str, Any] = {k: Options(v) if _KINDS[k] is Options else v for k, v in values.items()}
        made["protocols"] = tuple(Options(p) for p in values.get("protocols", ()))
        for name in ("patch", "supervise", "keep"):
            if isinstance(made.get(name), list):
                made[name] = tuple(made[name])
        made["patches"] = tuple(tuple(patch) for patch in values.get("patches", ()))
        return cls(**made)

    def __hash__(self) -> int:
        return hash(self.id)  # which is made once: the fields are many, and a sweep looks trials up at every event

    @cached_property
    def id(self) -> str:
        """16 hex digits of the hash of the canonical JSON.

        Fields that came later count only where they are not their default: records of before keep their ids.
        """
        said = self.plain()
        for name, usual in _USUAL.items():
            if said[name] == usual:
                del said[name]
        return hashlib.sha256(_CANONICAL.encode(said).encode()).hexdigest()[:16]


def arm(name: str, search: int) -> str:
    """What a configuration is called under one of its independent searches; the first one has its own name."""
    return name if search == 1 else f"{name} #{search}"


def _plain(value: Any) -> Any:
    """A field's value as JSON would give it back."""
    if isinstance(value, Options):
        return json.loads(value._json)
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


_KINDS = {f.name: f.type for f in fields(Trial)}
_LATER = (
    "label",
    "closed_every",
    "patch",
    "patches",
    "images_per_identity",
    "supervise",
    "scorer",
    "scorer_options",
    "keep",
    "shard_classes",
    "sample_classes",
    "search",
)
_USUAL = {name: value for name, value in Trial().plain().items() if name in _LATER}


@dataclass(frozen=True)
class Progress:
    """One epoch is done. `metrics` are deterministic; what is timed stands in `seconds` (wall time since the start).

    `machine` is how busy the trial's machine was meanwhile, others' work included (`bench.device.Device.load`).
    """

    step: int
    epoch: int
    metrics: dict[str, float]
    seconds: float = 0.0
    machine: dict[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Result:
    """The last event of a trial.

    Attributes:
        metrics: all final figures, flat (`dev/...` and `protocol/...`).
        scores: per protocol the plain form of its `Scores` without raw arrays, with `hash`, `spec` and `overlap`.
        raw: array name -> array, `protocol/what` (per-pair scores ...).
        cost: `train_seconds`, `images_per_second`, `peak_memory_mb`, `parameters`, `epochs`, `device`, `precision`, and
            of a trial that trained, how many `processes` did (memory and device are those of the first); where the device
            reports it, `energy_joules` of the training steps and `energy_of` what (bench.energy).
        provenance: versions, git commit and dirty flag, data fingerprint, skipped images.
    """

    metrics: dict[str, float]
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
