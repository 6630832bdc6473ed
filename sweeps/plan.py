"""From a study to its trials: what is searched, which seeds, what each row of the report is trained with."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.credentials import hidden_in
from bench.plain import Options, Trial, arm
from sweeps.parts import Range
from sweeps.study import Study

# A decade and more about the values in use; SGD's are those of the papers (Wen et al. 2016, Wang et al. 2018).
_LEARNING_RATE = {"sgd": ("log", 0.01, 0.3), "adamw": ("log", 1e-4, 1e-2)}
_WEIGHT_DECAY = {"sgd": ("log", 5e-5, 5e-3), "adamw": ("log", 1e-3, 0.3)}
# Each role draws from a range of seeds of its own: what was tuned on is never confirmed on, and no two rows share a run.
_SEEDS = {"search": 0, "finalist": 1, "tuned": 1000, "default": 2000, "again": 3000, "untrained": 4000}

RATES = ("learning_rate", "weight_decay")  # hyper-parameters of the training that an entry of `losses` may fix

Space = dict[str, tuple[str, float, float]]


def space(study: Study, label: str) -> Space:
    """What is searched for an entry of `losses`: hyper-parameter -> (`log` or `linear`, low, high), sorted by name.

    The learning rate, the weight decay and the loss's own `SPACE`, less what is fixed; `scale` only where asked.
    """
    import losses

    own = losses.space(study.loss(label))
    asked = study.losses[label]
    shared = study.tuning.search
    optimizer = study.train.optimizer
    found = {key: limits for key, limits in own.items() if key != "scale"}
    found |= {key: _limits(limits, own.get(key)) for key, limits in asked.search.items()}
    found["learning_rate"] = _limits(shared.learning_rate, _LEARNING_RATE[optimizer])
    found["weight_decay"] = _limits(shared.weight_decay, _WEIGHT_DECAY[optimizer])
    return {key: limits for key, limits in sorted(found.items()) if key not in asked.fixed}


def _limits(asked: Range | None, usual: tuple[str, float, float] | None) -> tuple[str, float, float]:
    if asked is None:
        assert usual is not None
        return usual
    kind = asked.kind or (usual[0] if usual and asked.low > 0 else "linear")
    return kind, asked.low, asked.high


def places(study: Study) -> list[tuple[str, str, int]]:
    """(backbone, entry of `losses`, number of its search from 1) of all that is searched, or confirmed as it is."""
    searches = range(1, 1 + (study.tune.searches if study.tune else 1))
    return [(backbone, label, number) for backbone in study.backbones for label in study.losses for number in searches]


def arms(study: Study) -> list[tuple[str, str]]:
    """The same as (backbone, `Trial.arm`)."""
    return [(backbone, arm(label, search)) for backbone, label, search in places(study)]


def fixed(study: Study, backbone: str, label: str, search: int = 1) -> Trial:
    """A confirmation trial of an entry of `losses` with what its `fixed` says and nothing else."""
    own = dict(study.losses[label].fixed)
    rates = {key: float(own.pop(key)) for key in RATES if key in own}
    return replace(_base(study, backbone, label), loss_options=Options(own), search=search, **rates)  # type: ignore[arg-type]


def search(study: Study, start: Trial, number: int, found: Mapping[str, float]) -> Trial:
    """The tuning trial `number` with the hyper-parameters that the tuner found; all trials of a search share one seed.

    Args:
        start: `fixed` of the place.
    """
    own = {key: value for key, value in found.items() if key not in RATES}
    return replace(
        start,
        stage="tune",
        role="search",
        number=number,
        seed=seed(study, "search", 0, start.search),
        loss_options=Options(dict(start.loss_options) | own),
        learning_rate=found.get("learning_rate", start.learning_rate),
        weight_decay=found.get("weight_decay", start.weight_decay),
        holdout=study.holdout,
        epochs=study.tuning.epochs,
        protocols=(),
        allow_overlap=False,  # no test to overlap with: the search stays the same whatever the study allows
    )


def finalists(study: Study, trial: Trial) -> list[Trial]:
    """A search trial's repetitions on the further development seeds."""
    seeds = [seed(study, "finalist", i, trial.search) for i in range(study.tuning.finalist_seeds)]
    return [replace(trial, role="finalist", seed=value) for value in seeds]


def confirm(study: Study, chosen: Trial, role: str) -> list[Trial]:
    """A configuration on fresh seeds (`tuned`), or on others again (`again`), scored on the test protocols."""
    return [
        replace(
            chosen,
            stage="confirm",
            role=role,
            number=i,
            seed=seed(study, role, i, chosen.search),
            holdout=study.confirm.holdout,
            epochs=study.confirm.epochs,
            protocols=_protocols(study),
            allow_overlap=study.allow_overlap,
            keep=tuple(study.keep),
        )
        for i in range(study.confirm.seeds)
    ]


def defaults(study: Study, backbone: str, label: str) -> list[Trial]:
    """The untuned rows: the loss's own defaults and the training's, scored on the test protocols."""
    base = replace(_base(study, backbone, label), stage="default", role="default")
    count = study.confirm.seeds if study.default_seeds is None else study.default_seeds
    return [replace(base, number=i, seed=seed(study, "default", i)) for i in range(count)]


def untrained(study: Study, backbone: str) -> list[Trial]:
    """The network as it is initialised: what the protocols give to no training at all."""
    base = replace(_base(study, backbone, study.reference), role="untrained", epochs=0)
    return [replace(base, number=i, seed=seed(study, "untrained", i)) for i in range(study.confirm.seeds)]


def seed(study: Study, role: str, index: int, search: int = 1) -> int:
    """The seed of run `index` of a role; development and confirmation seeds, and those of searches, come from disjoint ranges."""
    return ((study.tune.seed if study.tune else 0) + search - 1) * 10_000 + _SEEDS[role] + index


def budget(study: Study) -> int:
    """The training epochs that the search of one (backbone, loss) may spend."""
    return study.tuning.trials * study.tuning.epochs


def least_trials(study: Study) -> int:
    """The trials that train, where a search has a single one: less than this is no study."""
    count = study.confirm.seeds
    if study.ensemble:
        return len(study.backbones) * len(study.losses) * count * study.ensemble.counts[-1]
    searches = study.tune.searches if study.tune else 1
    each = searches * count + (count if study.default_seeds is None else study.default_seeds)
    if study.tune:
        each += searches * (1 + study.tune.finalist_seeds)
    return len(study.backbones) * (len(study.losses) * each + study.again * searches * count)


def first_pruning_step(study: Study, label: str) -> int:
    """The first epoch after which a trial may be pruned: warm-up and annealing are over and one whole epoch was trained."""
    asked = study.losses[label]
    shares = [float(value) for key, value in asked.fixed.items() if key.endswith("_fraction")]
    shares += [limits.high for key, limits in asked.search.items() if key.endswith("_fraction")]
    return math.ceil(max([study.train.warmup, *shares]) * study.tuning.epochs) + 1


def trains(trial: Trial) -> bool:
    """Whether a network is trained: neither that as initialised nor an ensemble of others is."""
    return trial.epochs > 0 and not trial.patches


def _base(study: Study, backbone: str, label: str) -> Trial:
    """A confirmation trial of the untuned loss; the other trials change what differs."""
    train, loss = study.train, study.loss(label)
    return Trial(
        study=study.name,
        data=Options(study.data),
        holdout=study.confirm.holdout,
        holdout_seed=study.holdout_seed,
        backbone=backbone,
        backbone_options=Options(study.backbones[backbone]),
        embedding_dim=study.embedding_dim,
        loss=loss,
        label=label if label != loss else "",
        image_size=study.image_size,
        crop=study.crop,
        channels=study.channels,
        epochs=study.confirm.epochs,
        optimizer=train.optimizer,
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        momentum=train.momentum,
        schedule=train.schedule,
        warmup=train.warmup,
        augment=Options(study.augment),
        precision=train.precision,
        shard_classes=train.shard_classes,
        sample_classes=train.sample_classes,
        flip=study.flip,
        protocols=_protocols(study),
        allow_overlap=study.allow_overlap,
        closed_every=study.closed_every,
        **_own(study, label),
    )


def _own(study: Study, label: str) -> dict[str, Any]:
    """The fields of a trial that an entry of `losses` may set for itself."""
    own = study.losses[label].trial
    # Another scorer's options would be none of its own.
    usual = study.scorer_options if own.scorer in (None, study.scorer) else {}
    return {
        "batch_size": own.batch_size or study.train.batch_size,
        "images_per_identity": own.images_per_identity or study.images_per_identity,
        "supervise": tuple(study.supervise if own.supervise is None else own.supervise),
        "scorer": own.scorer or study.scorer,
        "scorer_options": Options(usual if own.scorer_options is None else own.scorer_options),
    }


def _protocols(study: Study) -> tuple[Options, ...]:
    return tuple(Options(entry) for entry in (*study.protocols, *study.display))


def plain(study: Study) -> dict[str, Any]:
    """The facts of a study that a report needs."""
    return {
        "name": study.name,
        "losses": list(study.rows),
        "labels": {row: study.loss(label) for row, label in study.rows.items()},
        "backbones": list(study.backbones),
        "reference": study.reference,
        "primary": study.primary,
        "objective": study.objective,
        "protocols": study.protocols,
        "display": study.display,
        "confirm": study.confirm.model_dump(),
        "tune": study.tune.model_dump() | {"budget_epochs": budget(study)} if study.tune else None,
        "criteria": study.criteria,
        "published": study.published,
        "file": hidden_in(study.model_dump()),
    }
