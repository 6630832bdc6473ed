"""A study as pandas tables, for one's own analysis: a row a trial, and a row a point of a curve."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.record import Record
from reports._study import Study, read

if TYPE_CHECKING:
    import pandas as pd


def frame(study: Study | str | Path) -> "pd.DataFrame":
    """One row a trial.

    Columns: `id`, `state`, `reason`, every field of the trial (`backbone`, `loss`, `seed`, ...; options as
    `loss_options.margin`), every metric under its own name (fractions), `cost.*`, `provenance.*`, and for each test
    protocol `<protocol>.hash` and `<protocol>.overlap`. A pruned or failed trial has its last development metrics.

    Raises:
        RequestError: the folder is no study.
    """
    import pandas as pd

    return pd.DataFrame([_flat(record) for record in _loaded(study)])


def curves(study: Study | str | Path) -> "pd.DataFrame":
    """One row a point: `id`, `role`, `backbone`, `loss`, `seed`, `protocol`, `curve`, and the curve's own columns.

    `roc` has `far` and `tar`, `cmc` has `rank` and `rate`, `distractors` has `distractors` and `rank1`.

    Raises:
        RequestError: the folder is no study.
    """
    import pandas as pd

    parts = []
    for record in _loaded(study):
        trial = record.trial
        for protocol, kept in record.curves().items():
            for curve, columns in kept.items():
                who = {"id": trial.id, "role": trial.role, "backbone": trial.backbone, "loss": trial.loss}
                parts.append(pd.DataFrame(columns).assign(**who, seed=trial.seed, protocol=protocol, curve=curve))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _loaded(study: Study | str | Path) -> Study:
    return study if isinstance(study, Study) else read(study)


def _flat(record: Record) -> dict[str, Any]:
    plain = record.trial.plain()
    options = {f"{key}.{name}": v for key in _option_fields(plain) for name, v in plain[key].items()}
    last = record.events[-1].metrics if record.events else {}
    return {
        "id": record.trial.id,
        "state": record.state,
        "reason": record.reason,
        **{key: v for key, v in plain.items() if key not in _option_fields(plain)},
        **options,
        "epochs_done": len(record.events),
        **(record.metrics or last),
        **{f"cost.{key}": v for key, v in record.cost.items()},
        **{f"provenance.{key}": v for key, v in record.provenance.items()},
        **{f"{name}.hash": score.get("hash") for name, score in record.scores.items()},
        **{f"{name}.overlap": score.get("overlap", {}).get("verdict") for name, score in record.scores.items()},
    }


def _option_fields(plain: dict[str, Any]) -> list[str]:
    return [key for key, value in plain.items() if isinstance(value, dict)]
