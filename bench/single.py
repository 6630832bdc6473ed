"""One trial, or one file of embeddings, by hand: `facebench train` and `facebench evaluate`."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench import ledger, places, record, scoring
from bench.errors import RequestError, TrialFailed
from bench.locks import alone
from bench.plain import Options, Progress, Result, Trial
from bench.record import Record
from bench.scores import Scores

STUDY = "single"  # the folder in runs/ that trials by hand go to


def trial(given: Mapping[str, Any], dataset: str, settings: Mapping[str, Any], protocols: list[str]) -> Trial:
    """A trial from the command line's options; `settings` overrides any field.

    Args:
        protocols: names of protocols that the embedded `dataset` carries itself, in its own defaults; others stand in
            `settings`.

    Raises:
        RequestError: an unknown field, or a value of another kind than the field's.
    """
    values = {**given, "study": STUDY, **settings}
    kinds = {field.name: field.type for field in fields(Trial)}
    if unknown := sorted(set(values) - set(kinds)):
        raise RequestError(f"a trial has no field {unknown[0]!r}; it has: {', '.join(kinds)}")
    for name, value in values.items():
        wanted = _kind(kinds[name])
        if isinstance(value, bool) != (wanted is bool) or not isinstance(value, wanted):
            raise RequestError(f"the trial's field {name!r} takes {_words(wanted)}, got {value!r}")
    values["data"] = {"name": dataset, **values.get("data", {})}
    chosen = values.get("protocols", [])
    if not all(isinstance(spec, Mapping) for spec in chosen):
        raise RequestError(
            f"the trial's field 'protocols' takes a list of mappings like {{name: lfw, ...}}, got {chosen!r}"
        )
    if protocols and len(values["data"]) > 1:
        raise RequestError(
            "--protocol scores the data set's own protocol in its default options, and options of the data set were set: "
            f"say which with --set 'protocols=[{{name: {protocols[0]}, data: {{name: {dataset}, ...}}}}]'"
        )
    values["protocols"] = [*chosen, *({"name": name, "data": {"name": dataset}} for name in protocols)]
    return Trial.from_plain(values)


def train(wanted: Trial, quiet: bool = False, processes: int = 1) -> Record:
    """Run a trial here and now, printing its events; an interrupted one goes on from its checkpoint.

    Args:
        processes: how many train it together, each on its share of the threads; see `bench.trial.run`.

    Raises:
        ProcessLost: one of them is gone; the trial can go on.
        TrialFailed: the training diverged (it is recorded as failed).
        RequestError: another process trains it now.
    """
    from bench.trial import run  # brings torch

    several = {}
    if processes > 1:
        import torch

        several = {"processes": processes}
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))  # each gets its share
    folder = record.start(wanted, places.study_folder(STUDY))
    with alone(folder, f"another process trains trial {wanted.id} ({folder}): wait for it, or stop it"):
        journal = record.Journal(folder)
        try:
            for event in run(wanted, str(folder), **several):
                if isinstance(event, Result):
                    _enter(wanted, event)  # before the record: one look too many is better than one too few
                    record.finish(folder, "finished", result=event)
                elif journal.append(event) and not quiet:
                    _print_epoch(event)
        except TrialFailed as error:
            record.finish(folder, "failed", str(error))
            raise
    done = record.read(folder)
    if not quiet:
        from bench import show

        show.scores(done.scores)
        print(f"record: {folder}")
    return done


def evaluate(path: Path, spec: Mapping[str, Any], dev: Path | None = None, suffix: str | None = None) -> dict[str, Any]:
    """The plain scores of anybody's embeddings by a protocol.

    Args:
        path: a file of embeddings or a folder of feature files, see `bench.embeddings`.
        spec: the protocol, see `bench.scoring.open_protocol`.
        suffix: of the feature files in a folder.
        dev: a table of scored development pairs (`score`, `same`) that thresholds are frozen on, see `bench.development`.

    Raises:
        RequestError: files that do not exist or hold something else, or images that are missing.
    """
    frozen = thresholds(dev)
    protocol, answer = score(path, spec, suffix)
    enter(protocol, answer, frozen)
    ledger.append("evaluate", path.name, protocol.name, protocol.hash, answer.metrics)
    return scoring.plain(answer, protocol, frozen=frozen)


def thresholds(dev: Path | None) -> Any:
    """What a table of scored development pairs sets, see `bench.development`; None: of no table.

    Raises:
        RequestError: it holds something else.
    """
    if dev is None:
        return None
    import numpy as np

    from bench import development, embeddings

    scores, same = embeddings.column(dev, "score", "same")
    if not np.isfinite(scores).all() or not np.isin(same, (0, 1)).all():
        raise RequestError(f"{dev} must hold finite scores, and 1 (one person) or 0 (two) as same")
    return development.freeze(scores.astype(float), same.astype(bool), dev.name)


def enter(protocol: Any, answer: Scores, frozen: Any) -> None:
    """Put what frozen thresholds come to among the figures.

    Raises:
        RequestError: the protocol compares no pairs.
    """
    if frozen is None:
        return
    from bench import development

    if not development.enter(answer, protocol, frozen):
        raise RequestError(f"{protocol.name} compares no pairs at a threshold: leave --development out")


def score(path: Path, spec: Mapping[str, Any], suffix: str | None = None) -> tuple[Any, Scores]:
    """The protocol, and its answer to anybody's embeddings; see `evaluate`. Whoever shows it enters it in the ledger."""
    from bench import embeddings

    embeddings.check(path)  # before a protocol is read that may be long
    allow = bool(spec.get("allow_missing"))
    protocol, rows = embeddings.of_protocol(path, scoring.create(spec), allow, suffix)
    return protocol, protocol.score(rows)


def _enter(wanted: Trial, result: Result) -> None:
    for name, scores in result.scores.items():
        ledger.append(STUDY, wanted.id, name, scores["hash"], scores["metrics"])


def _print_epoch(event: Progress) -> None:
    figures = "  ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
    print(f"epoch {event.epoch:3}  {figures}  {event.seconds:.1f} s", flush=True)


def _kind(annotation: Any) -> Any:
    """What a value read from yaml must be an instance of."""
    if annotation is Options:
        return Mapping
    if annotation is float:
        return float | int
    return annotation if isinstance(annotation, type) else (list if "tuple" in str(annotation) else int | None)


def _words(kind: Any) -> str:
    names = {Mapping: "a mapping", float | int: "a number", int | None: "a whole number or null", list: "a list"}
    return names.get(kind) or {int: "a whole number", str: "a word", bool: "true or false"}[kind]
