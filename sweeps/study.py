"""The study file's schema: what is compared, on which data, under which budget, with which seeds."""

import re
import types
import typing
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

Key = tuple[str | int, ...]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Part(BaseModel):
    """Abstract: a mapping of the study file; unknown keys and wrong types are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Range(Part):
    """Search range of one hyper-parameter: `[low, high]`, `{log: [low, high]}` or `{linear: [low, high]}`.

    `kind` is None where the file does not say it: then the loss's own `SPACE` does, else it is linear.
    """

    kind: Literal["log", "linear"] | None = None
    low: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        kind = None
        if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("log", "linear"):
            kind, value = next(iter(value.items()))
        if isinstance(value, list) and len(value) == 2:
            return {"kind": kind, "low": value[0], "high": value[1]}
        if isinstance(value, dict) and {"low", "high"} <= set(value):
            return value
        raise ValueError("expected [low, high], {log: [low, high]} or {linear: [low, high]}")

    @model_validator(mode="after")
    def _right_way_up(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"the range is upside down: low {self.low:g} must be below high {self.high:g}")
        if self.kind == "log" and self.low <= 0:
            raise ValueError(f"a log range must begin above 0, got {self.low:g}")
        return self


class Loss(Part):
    """What is searched and what is set for one loss; `search` overrides the ranges of the loss's own `SPACE`."""

    search: dict[str, Range] = {}
    fixed: dict[str, Any] = {}


class Train(Part):
    """The training all losses share; the learning rate and the weight decay are those of the untuned default rows."""

    batch_size: Annotated[int, Field(ge=2)] = 64
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: Share = 0.05
    momentum: Share = 0.9
    precision: Literal["auto", "bf16", "float32"] = "auto"
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4


class Shared(Part):
    """Ranges that every loss searches; by default a decade and more about each optimiser's usual values."""

    learning_rate: Range | None = None
    weight_decay: Range | None = None


class Tune(Part):
    """The search of one (backbone, loss): its budget is `trials * epochs` training epochs, pruned ones counted."""

    trials: Positive
    epochs: Positive
    sampler: Literal["tpe", "random", "qmc", "gp", "grid"] = "tpe"
    pruner: Literal["median", "hyperband", "none"] = "median"
    finalists: Positive = 3
    finalist_seeds: Count = 2
    seed: Count = 0
    search: Shared = Shared()


class Confirm(Part):
    """The runs that are scored on the test protocols."""

    seeds: Positive = 5
    epochs: Positive
    holdout: Share = 0.0


class Resources(Part):
    """What one trial occupies; fractions are allowed."""

    cpus: Annotated[float, Field(gt=0)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0


def _named(value: Any) -> Any:
    """`[a, b]` is short for `{a: {}, b: {}}`, and `{a: }` for `{a: {}}`."""
    if isinstance(value, list):
        if len(set(map(str, value))) < len(value):
            raise ValueError("a name is listed twice")
        return {name: {} for name in value}
    if isinstance(value, dict):
        return {name: {} if options is None else options for name, options in value.items()}
    return value


class Study(Part):
    """A whole study file. Fields without a default must be given.

    Attributes:
        name: the folder below `runs/` and the MLflow experiment.
        data: training set, `{name: ..., options of its load}`.
        holdout, holdout_seed: the share of training identities set aside while tuning, and which.
        backbones, losses: names, or name -> options.
        reference: the loss that all others are compared with, and that the A/A row repeats.
        objective: what tuning maximises (minimises, for an error rate), on development identities.
        primary: the metric that ranks; None: the first protocol's own.
        protocols: test protocols, scored once per confirmed network.
        display: more protocols scored beside them that no choice hangs on (LFW View 1).
        default_seeds: networks of each untuned default row; None: as many as `confirm.seeds`.
        again: whether the A/A row is made. untrained: whether the untrained network is scored.
        storage: Optuna's database; None: `runs/optuna.db`.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    data: dict[str, Any]
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.1
    holdout_seed: Count = 0
    image_size: Positive = 32
    crop: Positive | None = None
    channels: Literal[1, 3] = 3
    embedding_dim: Positive = 128
    flip: Literal["concat", "add", "none"] = "concat"
    augment: dict[str, float] = {}
    backbones: Annotated[dict[str, dict[str, Any]], BeforeValidator(_named), Field(min_length=1)]
    losses: Annotated[dict[str, Loss], BeforeValidator(_named), Field(min_length=1)]
    reference: str = "softmax"
    train: Train = Train()
    tune: Tune
    confirm: Confirm
    default_seeds: Count | None = None
    again: bool = True
    untrained: bool = True
    objective: Literal["dev/accuracy", "dev/auc", "dev/eer", "dev/rank1"] = "dev/accuracy"
    primary: str | None = None
    protocols: Annotated[list[dict[str, Any]], Field(min_length=1)]
    display: list[dict[str, Any]] = []
    resources: Resources = Resources()
    storage: str | None = None
    allow_overlap: bool = False

    @property
    def minimise(self) -> bool:
        """Whether a lower objective is better."""
        return self.objective == "dev/eer"


class Mistake(ValueError):
    """The first thing that is wrong with a study: `key` says where."""

    def __init__(self, key: Key, says: str):
        super().__init__(says)
        self.key = key


def validated(value: dict[str, Any]) -> Study:
    """The study in plain data.

    Raises:
        Mistake: an unknown key, a wrong type, a value out of its range; what is accepted is said.
    """
    try:
        return Study.model_validate(value)
    except ValidationError as error:
        raise _mistake(error) from None


def _mistake(error: ValidationError) -> Mistake:
    """pydantic's first complaint as one sentence; of a mistyped key it is the unknown key, not the missing one."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key = first["loc"]
    if first["type"] == "extra_forbidden":
        return Mistake(key, f"unknown key; accepted here: {', '.join(_fields(key[:-1]))}")
    if first["type"] == "missing":
        return Mistake(key, "missing; it must be given")
    says = first["msg"].removeprefix("Value error, ")
    says = re.sub(r"^Input should be (?=greater|less)", "expected a value ", says).replace(
        "Input should be", "expected"
    )
    got = first["input"]
    shown = f"got {got!r}, " if not isinstance(got, dict | BaseModel) and "got" not in says else ""
    return Mistake(key, shown + says)


def _fields(key: Key) -> list[str]:
    """The keys that the part of the schema at `key` has."""
    part: Any = Study
    for step in key:
        if isinstance(part, type) and issubclass(part, BaseModel):
            part = _bare(part.model_fields[str(step)].annotation) if str(step) in part.model_fields else None
        else:
            part = typing.get_args(part)[-1] if typing.get_args(part) else None
    return list(part.model_fields) if isinstance(part, type) and issubclass(part, BaseModel) else []


def _bare(annotation: Any) -> Any:
    """`X | None` -> `X`."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    return annotation
