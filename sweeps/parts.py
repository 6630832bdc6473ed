"""The parts of a study file: one model for each of its mappings, and the kinds of numbers in them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


def _none_or_several(every: int) -> int:
    if every < 0 or every == 1:
        raise ValueError(f"got {every}, expected 0 (no closed-set test) or at least 2 (every image would be a test)")
    return every


Every = Annotated[int, AfterValidator(_none_or_several)]


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


class Own(Part):
    """What an entry of `losses` may set otherwise than the study does; not the epochs: the budget is everybody's."""

    batch_size: Annotated[int, Field(ge=2)] | None = None
    images_per_identity: Positive | None = None
    supervise: list[str] | None = None
    scorer: str | None = None
    scorer_options: dict[str, Any] | None = None


class Loss(Part):
    """What is searched and what is set for one entry of `losses`.

    Attributes:
        loss: the loss that a free label stands for; None: the label is the loss's name.
        search: ranges that override those of the loss's own `SPACE`.
        fixed: hyper-parameters that are set, the learning rate and the weight decay among them.
        trial: settings beside the loss that are this entry's own.
    """

    loss: str | None = None
    search: dict[str, Range] = {}
    fixed: dict[str, Any] = {}
    trial: Own = Own()


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


def named(value: Any) -> Any:
    """`[a, b]` is short for `{a: {}, b: {}}`, and `{a: }` for `{a: {}}`."""
    if isinstance(value, list):
        if len(set(map(str, value))) < len(value):
            raise ValueError("a name is listed twice")
        return {name: {} for name in value}
    if isinstance(value, dict):
        return {name: {} if options is None else options for name, options in value.items()}
    return value


def _rising(counts: list[int]) -> list[int]:
    if counts != sorted(set(counts)):
        raise ValueError(f"the counts must rise, each listed once, got {counts}")
    return counts


class Ensemble(Part):
    """Networks that each see one patch of the face, and how many of them are fused under which scorers (DeepID2).

    Attributes:
        layout: how patches are cut (bench.patches).
        counts: the ensembles of the first so many patches; the largest says how many networks are trained.
        scorers: name -> options (bench.scorers). `pca` is the most components: an ensemble of fewer dimensions keeps all.
    """

    layout: Literal["landmarks", "grid"] = "landmarks"
    counts: Annotated[list[Positive], Field(min_length=1), AfterValidator(_rising)] = [1, 4, 16, 25]
    scorers: Annotated[dict[str, dict[str, Any]], BeforeValidator(named), Field(min_length=1)] = {
        "cosine": {},
        "joint_bayesian": {"pca": 180},
    }


class Given(Part):
    """The study on other data, where these files are below the data folder; all further keys override the study's own."""

    model_config = ConfigDict(extra="allow")

    files: Annotated[list[Annotated[str, Field(pattern=r"^[^/]")]], Field(min_length=1)]
    name: str
