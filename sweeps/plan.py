"""From a study to its trials: what is searched, which seeds, what each row of the report is trained with."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.plain import Options, Trial
from sweeps.study import Range, Study

# A decade and more about the values in use; SGD's are those of the papers (Wen et al. 2016, Wang et al. 2018).
_LEARNING_RATE = {"sgd": ("log", 0.01, 0.3), "adamw": ("log", 1e-4, 1e-2)}
_WEIGHT_DECAY = {"sgd": ("log", 5e-5, 5e-3), "adamw": ("log", 1e-3, 0.3)}
# Each role draws from a range of seeds of its own: what was tuned on is never confirmed on, and no two rows share a run.
_SEEDS = {"search": 0, "finalist": 1, "tuned": 1000, "default": 2000, "again": 3000, "untrained": 4000}

Space = dict[str, tuple[str, float, float]]


def space(study: Study, loss: str) -> Space:
    """What is searched for a loss: hyper-parameter -> (`log` or `linear`, low, high), sorted by name.

    The learning rate and the weight decay always; of the loss's own `SPACE` what is not fixed, `scale` only where asked.
    """
    import losses

    own = losses.space(loss)
    asked = study.losses[loss]
    found = {key: limits for key, limits in own.items() if key != "scale" and key not in asked.fixed}
    found |= {key: _limits(limits, own.get(key)) for key, limits in asked.search.items()}
    shared = study.tune.search
    optimizer = study.train.optimizer
    found["learning_rate"] = _limits(shared.learning_rate, _LEARNING_RATE[optimizer])
    found["weight_decay"] = _limits(shared.weight_decay, _WEIGHT_DECAY[optimizer])
    return dict(sorted(found.items()))


def _limits(asked: Range | None, usual: tuple[str, float, float] | None) -> tuple[str, float, float]:
    if asked is None:
        assert usual is not None
        return usual
    kind = asked.kind or (usual[0] if usual and asked.low > 0 else "linear")
    return kind, asked.low, asked.high


def search(study: Study, backbone: str, loss: str, number: int, found: Mapping[str, float]) -> Trial:
    """The tuning trial `number` with the hyper-parameters that the tuner found; all search trials share one seed."""
    own = {key: value for key, value in found.items() if key not in ("learning_rate", "weight_decay")}
    return replace(
        _base(study, backbone, loss),
        stage="tune",
        role="search",
        number=number,
        seed=seed(study, "search", 0),
        loss_options=Options(dict(study.losses[loss].fixed) | own),
        learning_rate=found["learning_rate"],
        weight_decay=found["weight_decay"],
        holdout=study.holdout,
        epochs=study.tune.epochs,
        protocols=(),
        allow_overlap=False,  # no test to overlap with: the search stays the same whatever the study allows
    )


def finalists(study: Study, trial: Trial) -> list[Trial]:
    """A search trial's repetitions on the further development seeds."""
    seeds = [seed(study, "finalist", i) for i in range(study.tune.finalist_seeds)]
    return [replace(trial, role="finalist", seed=value) for value in seeds]


def confirm(study: Study, winner: Trial, role: str) -> list[Trial]:
    """The winner's configuration on fresh seeds (`tuned`), or on others again (`again`), scored on the test protocols."""
    return [
        replace(
            winner,
            stage="confirm",
            role=role,
            number=i,
            seed=seed(study, role, i),
            holdout=study.confirm.holdout,
            epochs=study.confirm.epochs,
            protocols=_protocols(study),
            allow_overlap=study.allow_overlap,
        )
        for i in range(study.confirm.seeds)
    ]


def defaults(study: Study, backbone: str, loss: str) -> list[Trial]:
    """The untuned rows: the loss's own defaults and the training's, scored on the test protocols."""
    base = replace(_base(study, backbone, loss), stage="default", role="default")
    count = study.confirm.seeds if study.default_seeds is None else study.default_seeds
    return [replace(base, number=i, seed=seed(study, "default", i)) for i in range(count)]


def untrained(study: Study, backbone: str) -> list[Trial]:
    """The network as it is initialised: what the protocols give to no training at all."""
    base = replace(_base(study, backbone, study.reference), role="untrained", epochs=0)
    return [replace(base, number=i, seed=seed(study, "untrained", i)) for i in range(study.confirm.seeds)]


def seed(study: Study, role: str, index: int) -> int:
    """The seed of run `index` of a role; development and confirmation seeds come from disjoint ranges."""
    return study.tune.seed * 10_000 + _SEEDS[role] + index


def budget(study: Study) -> int:
    """The training epochs that the search of one (backbone, loss) may spend."""
    return study.tune.trials * study.tune.epochs


def first_pruning_step(study: Study, loss: str) -> int:
    """The first epoch after which a trial may be pruned: warm-up and annealing are over and one whole epoch was trained."""
    fixed = study.losses[loss].fixed
    shares = [float(value) for key, value in fixed.items() if key.endswith("_fraction")]
    shares += [limits.high for key, limits in study.losses[loss].search.items() if key.endswith("_fraction")]
    return math.ceil(max([study.train.warmup, *shares]) * study.tune.epochs) + 1


def _base(study: Study, backbone: str, loss: str) -> Trial:
    """A confirmation trial of the untuned loss; the other trials change what differs."""
    train = study.train
    return Trial(
        study=study.name,
        data=Options(study.data),
        holdout=study.confirm.holdout,
        holdout_seed=study.holdout_seed,
        backbone=backbone,
        backbone_options=Options(study.backbones[backbone]),
        embedding_dim=study.embedding_dim,
        loss=loss,
        image_size=study.image_size,
        crop=study.crop,
        channels=study.channels,
        epochs=study.confirm.epochs,
        batch_size=train.batch_size,
        optimizer=train.optimizer,
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        momentum=train.momentum,
        schedule=train.schedule,
        warmup=train.warmup,
        augment=Options(study.augment),
        precision=train.precision,
        flip=study.flip,
        protocols=_protocols(study),
        allow_overlap=study.allow_overlap,
    )


def _protocols(study: Study) -> tuple[Options, ...]:
    return tuple(Options(entry) for entry in (*study.protocols, *study.display))


def plain(study: Study) -> dict[str, Any]:
    """The facts of a study that a report needs."""
    return {
        "name": study.name,
        "losses": list(study.losses),
        "backbones": list(study.backbones),
        "reference": study.reference,
        "primary": study.primary,
        "objective": study.objective,
        "protocols": study.protocols,
        "display": study.display,
        "confirm": study.confirm.model_dump(),
        "tune": study.tune.model_dump() | {"budget_epochs": budget(study)},
        "file": study.model_dump(),
    }
