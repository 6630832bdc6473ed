"""What speaks against a study's own answer, found in its records."""

from collections import Counter

from reports import _comparisons, _figures, _rows, _words
from reports._study import Study
from reports._tuning import epochs_by_loss, stopped_early


def caveats(study: Study) -> list[str]:
    """One sentence for each thing that a sceptical reader would want to be told first."""
    checks = (
        _sampled,
        _unconfirmed,
        _unfinished,
        _lost,
        _diverged,
        _again,
        _early,
        _budget,
        _overlap,
        _versions,
        _precisions,
        _code,
    )
    return [sentence for check in checks for sentence in check(study)]


def _sampled(study: Study) -> list[str]:
    shares = {r.trial.sample_classes for r in study.of(*_rows.ROLES)} - {1.0}
    return [f"A training step looked at {share:g} of the classes only (Partial FC)." for share in sorted(shares)]


def _unconfirmed(study: Study) -> list[str]:
    troubles = {place: cell["trouble"] for place, cell in study.facts.get("cells", {}).items() if cell.get("trouble")}
    return [
        f"{_rows.label(study, loss, backbone)} was not confirmed: {trouble.rstrip('.')}."
        for (backbone, _, loss), trouble in ((place.rpartition("/"), trouble) for place, trouble in troubles.items())
    ]


def _unfinished(study: Study) -> list[str]:
    open_ = [r for r in study.of(*_rows.ROLES) if r.state in ("waiting", "running")]
    return [f"{_words.many(len(open_), 'confirmation run')} not finished: the figures will change."] if open_ else []


def _lost(study: Study) -> list[str]:
    lost = [r for r in study.of(*_rows.ROLES) if r.kind == "error"]
    if not lost:
        return []
    were = "was" if len(lost) == 1 else "were"
    return [
        f"{_words.many(len(lost), 'run')} {were} lost to errors of the machine or the request and in no figure: "
        "run the sweep again."
    ]


def _diverged(study: Study) -> list[str]:
    failed = [r for r in study.of("tuned", "again") if r.state == "failed" and r.kind != "error"]
    if not failed:
        return []
    who = _words.listing(sorted({r.trial.name for r in failed}))
    return [f"{_words.many(len(failed), 'confirmation run')} of {who} failed and counts in the means as chance."]


def _again(study: Study) -> list[str]:
    metric = _rows.primary(study)
    lines = _comparisons.against_itself(study, metric) if metric else []
    if any(line.comparison and line.comparison.significant for line in lines):
        return ["The A/A row is not a tie: the reference differs from itself on other seeds."]
    return []


def _budget(study: Study) -> list[str]:
    spent = epochs_by_loss(study)
    if len(set(spent.values())) < 2:
        return []
    most, least = max(spent.values()), min(spent.values())
    # A search ends when its budget no longer holds a whole trial, so up to one trial's epochs may be left.
    if most - least < max(study.settings("tune").get("epochs", 1), 0.05 * most):
        return []
    each = _words.listing(
        [f"{_rows.label(study, loss, backbone)} {count}" for (backbone, loss), count in spent.items()]
    )
    return [f"The searches did not cost the same number of training epochs: {each}."]


def _early(study: Study) -> list[str]:
    who = [_rows.label(study, loss, backbone) for backbone, loss in sorted(stopped_early(study))]
    return [f"The search stopped early for {_words.listing(who)}: see Tuning."] if who else []


def _overlap(study: Study) -> list[str]:
    found: dict[str, set[str]] = {}
    for record in study.of(*_rows.ROLES):
        for protocol, score in record.scores.items():
            if _figures.closed(protocol):
                continue  # shares its people by definition; said beside its figures
            found.setdefault(score.get("overlap", {}).get("verdict", "unknown"), set()).add(protocol)
    said = []
    if found.get("allowed"):
        said.append(
            f"Training and test overlap, by the study's own leave, on {_words.listing(sorted(found['allowed']))}."
        )
    if found.get("unknown"):
        said.append(f"Whether training and test share people is unknown on {_words.listing(sorted(found['unknown']))}.")
    return said


def _versions(study: Study) -> list[str]:
    said = []
    for protocol in _rows.protocols(study):
        hashes = {r.scores[protocol].get("hash") for r in study.of(*_rows.ROLES) if protocol in r.scores}
        if len(hashes) > 1:
            said.append(
                f"{protocol} was scored with {len(hashes)} versions of its lists; such figures are never compared."
            )
    data = {str(r.provenance["data"]) for r in study.of("tuned", "again") if "data" in r.provenance}
    if len(data) > 1:
        said.append("The confirmation runs did not all train on the same data.")
    return said


def _precisions(study: Study) -> list[str]:
    """With `precision: auto` each machine takes the one that it is fast in."""
    runs = Counter(str(r.cost["precision"]) for r in study.of(*_rows.ROLES) if r.cost.get("precision"))
    if len(runs) < 2:
        return []
    each = _words.listing([f"{_words.many(number, 'run')} in {name}" for name, number in sorted(runs.items())])
    return [
        f"The confirmation runs were not all computed alike: {each}; set `precision` under `train` to hold all to one."
    ]


def _code(study: Study) -> list[str]:
    dirty = [r for r in study.of(*_rows.ROLES) if r.provenance.get("dirty")]
    return (
        ["The code had uncommitted changes, so the commit in the footer does not describe it whole."] if dirty else []
    )
