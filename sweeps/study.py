"""The study file's schema: what is compared, on which data, under which budget, with which seeds."""

from itertools import product
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sweeps import mistake

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
_WORDS = {"joint_bayesian": "joint Bayesian"}  # scorers, as the rows of a report call them


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


def _named(value: Any) -> Any:
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
    scorers: Annotated[dict[str, dict[str, Any]], BeforeValidator(_named), Field(min_length=1)] = {
        "cosine": {},
        "joint_bayesian": {"pca": 180},
    }


class Given(Part):
    """The study on other data, where these files are below the data folder; all further keys override the study's own."""

    model_config = ConfigDict(extra="allow")

    files: Annotated[list[Annotated[str, Field(pattern=r"^[^/]")]], Field(min_length=1)]
    name: str


class Study(Part):
    """A whole study file. Fields without a default must be given.

    Attributes:
        name: the folder below `runs/` and the MLflow experiment.
        data: training set, `{name: ..., options of its load}`.
        holdout, holdout_seed: the share of training identities set aside while tuning, and which.
        backbones: names, or name -> options.
        losses: names of losses, or name or free label -> options; a label says which `loss` it stands for.
        reference: the entry of `losses` that all others are compared with, and that the A/A row repeats; of an ensemble a
            row such as `25 patches, cosine`.
        tune: the search; None: every entry is confirmed as its `fixed` says.
        objective: what tuning maximises (minimises, for an error rate), on development identities.
        primary: the metric that ranks; None: the first protocol's own.
        protocols: test protocols, scored once per confirmed network; may be empty where the data have a closed-set test.
        display: more protocols scored beside them that no choice hangs on (LFW View 1).
        default_seeds: networks of each untuned default row; None: as many as `confirm.seeds`. Without `tune` none.
        again: whether the A/A row is made. untrained: whether the untrained network is scored. Without `tune` neither.
        images_per_identity, supervise, scorer, scorer_options: as in `bench.plain.Trial`, for every entry of `losses`
            that does not set its own.
        keep: what is kept of each confirmed network (`bench.plain.Trial`).
        criteria: names of the acceptance criteria that the report judges.
        published: name of the published figures that the report shows beside its own.
        closed_every: each so-many-th image of an identity is kept for the closed-set test, in every trial; 0: none.
        ensemble: the patches and scorers of an ensemble; None: every network is a row of its own.
        given: what is different where the user's own files are there.
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
    tune: Tune | None = None
    confirm: Confirm
    default_seeds: Count | None = None
    again: bool = True
    untrained: bool = True
    objective: Literal["dev/accuracy", "dev/auc", "dev/eer", "dev/rank1"] = "dev/accuracy"
    primary: str | None = None
    protocols: list[dict[str, Any]]
    display: list[dict[str, Any]] = []
    resources: Resources = Resources()
    storage: str | None = None
    allow_overlap: bool = False
    images_per_identity: Positive | None = None
    supervise: list[str] = []
    scorer: str = "cosine"
    scorer_options: dict[str, Any] = {}
    keep: list[Literal["features", "embeddings"]] = []
    criteria: list[str] = []
    published: str | None = None
    closed_every: Every = 0
    ensemble: Ensemble | None = None
    given: Annotated[Given | None, Field(exclude=True)] = None

    @model_validator(mode="before")
    @classmethod
    def _without_a_search(cls, value: Any) -> Any:
        """The default rows would be the confirmed ones again, and the further rows belong to a choice that was made."""
        if isinstance(value, dict) and value.get("tune") is None:
            return {"default_seeds": 0, "again": False, "untrained": False} | value
        return value

    @property
    def minimise(self) -> bool:
        """Whether a lower objective is better."""
        return self.objective == "dev/eer"

    @property
    def tuning(self) -> Tune:
        """`tune`, for whoever knows that something is tuned."""
        assert self.tune is not None
        return self.tune

    @property
    def rows(self) -> dict[str, str]:
        """What is confirmed, as the report calls it -> its entry of `losses`; ensembles by their number of patches."""
        if not self.ensemble:
            return {label: label for label in self.losses}
        made = product(self.losses, self.ensemble.counts, self.ensemble.scorers)
        return {self.row(label, count, scorer): label for label, count, scorer in made}

    def loss(self, label: str) -> str:
        """The name of the loss that an entry of `losses` stands for."""
        return self.losses[label].loss or label

    def row(self, label: str, count: int, scorer: str) -> str:
        """What the report calls the ensemble of the first `count` patches under an entry of `losses`."""
        said = f"{count} patch{'es' * (count > 1)}, {_WORDS.get(scorer, scorer)}"
        return said if len(self.losses) == 1 else f"{label}, {said}"


def validated(value: dict[str, Any]) -> Study:
    """The study in plain data; an ensemble's reference is by default its most patches under its first scorer.

    Raises:
        Mistake: an unknown key, a wrong type, a value out of its range; what is accepted is said.
    """
    try:
        study = Study.model_validate(value)
    except ValidationError as error:
        raise mistake.first(error.errors(), Study) from None
    if study.ensemble and "reference" not in study.model_fields_set:
        last, first = study.ensemble.counts[-1], next(iter(study.ensemble.scorers))
        return study.model_copy(update={"reference": study.row(next(iter(study.losses)), last, first)})
    return study
