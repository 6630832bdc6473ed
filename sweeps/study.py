"""The study file's schema: what is compared, on which data, under which budget, with which seeds."""

from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from sweeps import mistake
from sweeps.parts import (
    Budget,
    Confirm,
    Count,
    Ensemble,
    Every,
    Given,
    Loss,
    Part,
    Positive,
    Resources,
    Train,
    Tune,
    named,
)

_WORDS = {"joint_bayesian": "joint Bayesian"}  # scorers, as the rows of a report call them


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
        budget: what the whole study may use; the search ends early for it, of every loss.
        stop_after_failures: after so many trials in a row that failed of one and the same defect the study stops; 0: never.
        given: what is different where the user's own files are there.
        storage: Optuna's database; None: `runs/optuna.db`. `${NAME}` in it stands for a variable of the environment, here and
            in `checkpoints`.
        checkpoints: a URL or an absolute folder for the checkpoints and copies of the final records, where workers do not
            share the driver's disk (bench.elsewhere); None: they lie in the trial's own folder.
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
    backbones: Annotated[dict[str, dict[str, Any]], BeforeValidator(named), Field(min_length=1)]
    losses: Annotated[dict[str, Loss], BeforeValidator(named), Field(min_length=1)]
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
    budget: Budget = Budget()
    stop_after_failures: Count = 5
    storage: str | None = None
    checkpoints: str | None = None
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
