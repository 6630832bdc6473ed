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
Amount = Annotated[float, Field(ge=1e-4)]  # of a resource: Ray counts in ten-thousandths


def _whole_or_a_share(gpus: float) -> float:
    if gpus == 0 or 1e-4 <= gpus < 1 or (gpus > 0 and gpus == int(gpus)):
        return gpus
    raise ValueError(f"got {gpus:g}, expected 0, a share of one GPU (0.25) or whole GPUs (2)")


def _custom(amounts: dict[str, float]) -> dict[str, float]:
    """Ray's own resources go by other names here."""
    own = {"CPU": "cpus", "GPU": "gpus", "memory": "memory"}
    for name in amounts:
        if name in own or not name or name == "object_store_memory":
            raise ValueError(f"got {name!r}, expected the name of a custom resource{_instead(own.get(name))}")
    return amounts


def _instead(key: str | None) -> str:
    return f" (ask for it by `{key}`)" if key else ""


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
    shard_classes: bool = False
    sample_classes: Annotated[float, Field(gt=0, le=1)] = 1.0


class Shared(Part):
    """Ranges that every loss searches; by default a decade and more about each optimiser's usual values."""

    learning_rate: Range | None = None
    weight_decay: Range | None = None


class EarlyStop(Part):
    """When the search of a loss is given up: see sweeps.early_stop."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class Tune(Part):
    """The search of one (backbone, loss): its budget is `trials * epochs` training epochs, pruned ones counted.

    Attributes:
        seed: what the search and all seeds of the study's runs follow from.
        searches: how many independent searches there are of each (backbone, loss), all of this budget, each with its own
            winner that is confirmed. The n-th has the seeds that a study of `seed` + n - 1 would have.
    """

    trials: Positive
    epochs: Positive
    sampler: Literal["tpe", "gp", "cmaes", "random", "qmc", "grid"] = "tpe"
    pruner: Literal["median", "hyperband", "asha", "none"] = "median"
    finalists: Positive = 3
    finalist_seeds: Count = 2
    seed: Count = 0
    searches: Positive = 1
    search: Shared = Shared()
    early_stop: EarlyStop | None = None


class Confirm(Part):
    """The runs that are scored on the test protocols."""

    seeds: Positive = 5
    epochs: Positive
    holdout: Share = 0.0


class Budget(Part):
    """What the whole study may use, over all its sessions (sweeps.budget); None: no limit.

    Attributes:
        max_trials: trials that train, whatever became of them.
        max_hours: wall time during which the study is driven.
        max_gpu_hours: time that trials occupy workers, times the GPUs of each.
    """

    max_trials: Positive | None = None
    max_hours: Annotated[float, Field(gt=0)] | None = None
    max_gpu_hours: Annotated[float, Field(gt=0)] | None = None


class Resources(Part):
    """What one trial occupies, all of it on one node, and how many processes it is.

    Attributes:
        cpus: also the threads of its processes together. A fraction is allowed.
        gpus: whole ones, or a share of one.
        memory: GiB of the node's memory; None: whatever is there.
        custom: amounts of what a cluster's owner calls its further resources.
        processes: None: one for each of several GPUs, else one.
    """

    cpus: Amount = 1
    gpus: Annotated[float, AfterValidator(_whole_or_a_share)] = 0
    memory: Amount | None = None
    custom: Annotated[dict[str, Amount], AfterValidator(_custom)] = {}
    processes: Positive | None = None

    @model_validator(mode="after")
    def _room_for_each_process(self) -> "Resources":
        several = self.count > 1
        if several and self.gpus and self.count != self.gpus:
            raise ValueError(f"{self.count} processes on {self.gpus:g} GPUs: expected one GPU for each process")
        if several and not self.gpus and self.cpus < self.count:
            raise ValueError(
                f"{self.count} processes on {self.cpus:g} CPUs: expected at least one CPU for each process"
            )
        return self

    @property
    def count(self) -> int:
        """How many processes a trial is."""
        return self.processes or max(1, int(self.gpus))

    @property
    def threads(self) -> int:
        """Threads of each process."""
        return max(1, int(self.cpus) // self.count)


ONE_CPU = Resources()


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
