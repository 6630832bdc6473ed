"""`facebench report`, `promote` and `export`, and on the terminal `facebench compare` and `plan`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bench._cli_models import InputOption, OverlapOption, of_each
from bench._command import (
    DataOption,
    JsonOption,
    MissingOption,
    RootOption,
    SetOption,
    print_json,
    protocol_spec,
    use,
)
from bench.errors import RequestError

WORSE = 1  # the exit code of --fail-if-worse


def report(
    study: Annotated[str, typer.Argument(help="the study's name")],
    from_mlflow: Annotated[bool, typer.Option("--from-mlflow", help="read the records from the MLflow store")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="write it again as trials end, while a sweep runs")] = False,
    every: Annotated[float, typer.Option(min=1, help="seconds between two looks of --watch")] = 10,
    figures: Annotated[bool, typer.Option("--figures", help="its figures too, as .svg and .png for a paper")] = False,
    data: DataOption = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="show images of the data, which may be of persons")
    ] = True,
) -> None:
    """Write report.html and leaderboard.md, .csv, .json and .tex of a study from its records."""
    use(data)
    import reports
    from bench import places

    folder = places.study_folder(study) if from_mlflow else places.existing_study(study)
    if from_mlflow and watch:
        raise RequestError("--watch looks at the records that a sweep writes here: leave out --from-mlflow")
    if figures and watch:
        raise RequestError(
            "--figures are of a study that rests: leave out --watch, or ask for them when the sweep has ended"
        )
    if from_mlflow:
        from bench import tracking

        tracking.records_from_mlflow(study, None, folder)
    if watch:
        reports.watch(folder, every, typer.echo, pictures=pictures)
    else:
        typer.echo(reports.write(folder, figures=figures, pictures=pictures))


def compare(
    a: Annotated[
        str, typer.Argument(help="a trial's id, a file of embeddings, a devkit's folder, or what --model takes")
    ],
    b: Annotated[str, typer.Argument(help="the one that is compared with it")],
    protocol: Annotated[
        str | None, typer.Option(help="what files are scored by; of trials: all that both have")
    ] = None,
    root: RootOption = None,
    set_: SetOption = None,
    data: DataOption = None,
    allow_missing: MissingOption = False,
    metric: Annotated[
        str | None, typer.Option(help="the declared figure, PROTOCOL/FIGURE; else each protocol's own")
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="of a folder's feature files, _ALGORITHM.bin")] = None,
    input_: InputOption = None,
    allow_overlap: OverlapOption = False,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="exit with 1 where B is significantly worse on a declared figure")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Two given networks on the same test: paired tests of these two networks, which say nothing of their losses.

    A and B may be models, spelled as `evaluate --model` takes them (see there which of them are code that runs); `--input
    b.size=112` is of B alone. A trial with `--input` is scored anew.
    """
    use(data)
    import reports

    spec = protocol_spec(protocol, root, set_, allow_missing) if protocol else None
    found = reports.comparisons(a, b, spec, metric, suffix, of_each(input_), allow_overlap)
    if as_json:
        print_json([_plain(one) for one in found])
    else:
        from bench import show

        for one in found:
            show.comparison(one)
    if fail_if_worse and any(one.lines[0].verdict == "worse" for one in found):
        raise typer.Exit(WORSE)


def plan(
    study: Annotated[str, typer.Argument(help="the study's name: a pilot, say, of 3 seeds")],
    effect: Annotated[float, typer.Option(help="the true difference to be found, 0.01 for one percentage point")],
    metric: Annotated[str | None, typer.Option(help="PROTOCOL/FIGURE; else the study's own")] = None,
    power: Annotated[float, typer.Option(help="the probability with which it is to be found")] = 0.8,
    as_json: JsonOption = False,
) -> None:
    """How many seeds and test identities a study needs to find a difference, by what its runs varied, and their cost."""
    import reports
    from bench import places, show

    found = reports.plan(places.existing_study(study), effect, metric, power)
    print_json(asdict(found)) if as_json else show.plan(found)


def promote(
    study: Annotated[str, typer.Argument(help="the study's name")],
    loss: Annotated[str | None, typer.Option(help="a row of its leaderboard; else the leader")] = None,
    name: Annotated[str | None, typer.Option(help="what the registry calls the model; else the study's name")] = None,
    alias: Annotated[str, typer.Option(help="points at this version: models:/NAME@ALIAS")] = "champion",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="a pilot, a dirty tree or a partial figure too; its tags say so")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Register the winner's network in MLflow's Model Registry. The same again changes nothing."""
    import reports
    from bench import places, tracking

    one = reports.promotion(places.existing_study(study), loss, anyway)
    done = tracking.promote(one.study, one.trial, name or one.study, alias, one.description, one.tags)
    if as_json:
        print_json({"trial": one.trial, **asdict(done), "against": one.against})
        return
    news = "promoted" if done.changed else "as it was"
    typer.echo(f"trial {one.trial}: version {done.version} of models:/{done.name}@{done.alias}, {news}")


def export(
    trial: Annotated[str, typer.Argument(help="the id of a finished trial, or as much of it as is unique")],
    to: Annotated[Path | None, typer.Option(help="the folder (default: model/ in the trial's own)")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the files in a folder that is there")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a trial's network as model.onnx (checked against torch) and model.safetensors, with a model card."""
    import reports

    found = reports.export(trial, to, overwrite)
    if as_json:
        return print_json({"folder": str(found.folder), "difference": found.difference})
    typer.echo(f"{found.folder}: model.onnx ({found.difference:.1g} from torch), model.safetensors, README.md")
    return None


def _plain(one: Any) -> dict[str, Any]:
    verdicts = [asdict(line) | {"verdict": line.verdict} for line in one.lines]
    return asdict(one) | {"lines": verdicts}


COMMANDS = (report, compare, plan, promote, export)
