"""The command line `facebench`. Nothing heavy is imported until a command runs.

Exit codes: 0 done; 1 the work failed; 2 the request was wrong (one sentence on stderr); 130 stopped by Ctrl-C.
"""

import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import _cli_cluster, _cli_models, _cli_reports, settings
from bench._cli_cluster import StudyArgument
from bench._cli_models import OverlapOption
from bench._cli_prepare import data_app
from bench._command import (
    DataOption,
    JsonOption,
    MissingOption,
    ProtocolOption,
    RootOption,
    SetOption,
    print_json,
    protocol_spec,
    use,
)
from bench.credentials import hidden
from bench.errors import ProcessLost, RequestError, StudyIncomplete, TrialFailed, Unreachable

INTERRUPTED = 130  # what typer makes of Ctrl-C
SWEEPS = ("demo", "ensemble", "sweep")
CONTINUE = (*SWEEPS, "train")  # commands that go on where they were stopped

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which face-recognition loss is better, on this data, at this budget, and is the difference real?",
)
app.add_typer(data_app, name="data")

AddressOption = Annotated[str, typer.Option(help="local (starts Ray), inline (no Ray), or a Ray cluster's address")]
SlotsOption = Annotated[int | None, typer.Option(min=1, help="at most so many trials at once")]


@app.command()
def demo(address: AddressOption = "local") -> None:
    """Compare softmax, center loss and LMCL on made-up faces in a few minutes, and write the report."""
    _sweep("demo", address, None)


@app.command()
def sweep(
    study: StudyArgument,
    address: AddressOption = "local",
    data: DataOption = None,
    slots: SlotsOption = None,
    allow_overlap: OverlapOption = False,
) -> None:
    """Tune, confirm, score and report a whole study; the same command continues one that was stopped."""
    use(data)
    _sweep(study, address, slots, allow_overlap, own_data=data is not None)


@app.command()
def ensemble(
    study: StudyArgument,
    address: AddressOption = "local",
    data: DataOption = None,
    slots: SlotsOption = None,
    allow_overlap: OverlapOption = False,
) -> None:
    """DeepID2's pipeline: train a network for each patch, fuse, score and report, as the study's `ensemble` says."""
    use(data)
    _sweep(study, address, slots, allow_overlap, own_data=data is not None, fused=True)


@app.command()
def train(
    loss: Annotated[str, typer.Argument(help="see `facebench list losses`")] = "softmax",
    backbone: Annotated[str, typer.Option(help="see `facebench list backbones`")] = "cnn4",
    dataset: Annotated[str, typer.Option(help="see `facebench list datasets`")] = "faces",
    epochs: Annotated[int, typer.Option(min=0)] = 5,
    seed: Annotated[int, typer.Option()] = 0,
    set_: SetOption = None,
    protocol: Annotated[list[str] | None, typer.Option(help="score this embedded protocol, may be repeated")] = None,
    data: DataOption = None,
    allow_overlap: OverlapOption = False,
    processes: Annotated[int, typer.Option(min=1, help="data-parallel, one GPU each")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Train one network and score it. `--set` reaches every field of a trial, e.g. `--set loss_options.margin=0.2`."""
    use(data)
    from bench import single

    fields = {"loss": loss, "backbone": backbone, "epochs": epochs, "seed": seed, "allow_overlap": allow_overlap}
    trial = single.trial(fields, dataset, settings.parse(set_), protocol or [])
    record = single.train(trial, quiet=as_json, processes=processes)
    if as_json:
        print_json({"id": trial.id, "folder": str(record.folder), "metrics": record.metrics, "scores": record.scores})


@app.command()
def evaluate(
    embeddings: Annotated[
        Path | None, typer.Argument(help="a .npy, .npz, .csv, .parquet file, or a devkit's folder")
    ] = None,
    model: Annotated[str | None, typer.Option(help=_cli_models.MODEL)] = None,
    weights: Annotated[
        Path | None, typer.Option(help="of --model timm:NAME: a state dict, nothing else is unpickled")
    ] = None,
    input_: _cli_models.InputOption = None,
    protocol: ProtocolOption = "lfw",
    root: RootOption = None,
    set_: SetOption = None,
    data: DataOption = None,
    allow_missing: MissingOption = False,
    allow_overlap: OverlapOption = False,
    development: Annotated[Path | None, typer.Option(help="a table (score, same) to freeze thresholds on")] = None,
    suffix: Annotated[str | None, typer.Option(help="of a folder's feature files, _ALGORITHM.bin")] = None,
    as_json: JsonOption = False,
) -> None:
    """Score anybody's embeddings by a protocol (row order: `facebench data images --protocol ...`), or anybody's network.

    TorchScript, torch.export and MLflow's PyTorch models are code, which runs when they are opened: only those that you
    trust. ONNX and safetensors files, and the weights of timm models, are data.
    """
    use(data)
    from bench import show, single

    spec = protocol_spec(protocol, root, set_, allow_missing)
    if (asked := _cli_models.asked(embeddings, model, weights, input_, suffix, allow_overlap)) is None:
        assert embeddings is not None
        answer = single.evaluate(embeddings, spec, development, suffix)
    else:
        from bench import any_network

        answer = any_network.evaluate(str(model), asked, spec, development, allow_overlap)
    print_json(answer) if as_json else show.scores({protocol: answer})


for _command in (*_cli_reports.COMMANDS, _cli_cluster.submit, _cli_cluster.status, _cli_cluster.stop):
    app.command()(_command)


@app.command()
def sync(study: Annotated[str, typer.Argument(help="the study's name")]) -> None:
    """Send to MLflow what it lacks of a study's records (after its server was down, say)."""
    from bench import places, tracking

    places.existing_study(study)
    sent = tracking.sync(study)
    typer.echo(f"{study}: {sent} trials sent to {hidden(tracking.uri())}")


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    host: Annotated[str, typer.Option(help="the address to listen at; 0.0.0.0: every network's")] = "127.0.0.1",
) -> None:
    """Open the MLflow UI on the runs of this folder, for this machine alone unless --host says otherwise."""
    from bench import ui as server

    server.serve(port, host)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Look for what this machine lacks, and say what to do. Exit code 1 where something is wrong."""
    from bench import doctor as examination
    from bench import show

    found = examination.examine()
    print_json([vars(finding) for finding in found]) if as_json else show.findings(found)
    if any(finding.state == "wrong" for finding in found):
        raise typer.Exit(1)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="losses, backbones, datasets, protocols or studies")] = "losses",
    as_json: JsonOption = False,
) -> None:
    """The names that can be asked for."""
    names = _names(what)
    print_json(names) if as_json else typer.echo("\n".join(names))


def main() -> None:
    """The entry point: every way to fail becomes an exit code and one sentence."""
    try:
        code = app(standalone_mode=False)
    except RequestError as error:
        sys.exit(_say(error, 2))
    except (ProcessLost, TrialFailed, Unreachable) as error:
        sys.exit(_say(error, 1))
    except BrokenPipeError:
        sys.stdout = None  # the reader went away (`facebench list | head`)
        sys.exit(0)
    except ModuleNotFoundError as error:
        if error.name not in ("ray", "optuna", "mlflow", "pydantic"):
            raise
        sys.exit(_say(f"this command needs {error.name}, which is not installed: `make setup`, or pip install it", 2))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        sys.exit(_say(f"{error.strerror}{where}" if error.strerror else f"{type(error).__name__}: {error}", 1))
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: an unknown option, a missing argument
            sys.exit(_say(f"{error.format_message()} (see facebench --help)", 2))
        sys.exit(_say("".join(traceback.format_exception(error)), 1))  # a defect
    if code == INTERRUPTED:
        goes_on = sys.argv[1] in CONTINUE
        _say("stopped; the same command continues where it stood" if goes_on else "stopped", code)
        if sys.argv[1] in SWEEPS:
            from sweeps import signals

            signals.leave()
    sys.exit(code or 0)


def _say(what: Any, code: int) -> int:
    print(f"facebench: {hidden(str(what))}", file=sys.stderr)
    return code


def _sweep(
    study: str,
    address: str,
    slots: int | None,
    allow_overlap: bool = False,
    own_data: bool = False,
    fused: bool = False,
) -> None:
    import reports
    import sweeps

    asked = sweeps.load(study, report=reports.known(), own_data=own_data)
    if fused and not asked.ensemble:
        raise RequestError(f"study {asked.name!r} has no `ensemble`: add one, or run it with `facebench sweep {study}`")
    try:
        folder = sweeps.sweep(
            asked, address=address, slots=slots, allow_overlap=allow_overlap, describe=reports.summarise
        )
    except StudyIncomplete as error:
        typer.echo(f"report: {reports.write(error.folder)}")
        raise
    typer.echo(f"report: {reports.write(folder)}")


def _names(what: str) -> list[str]:
    from importlib import import_module

    if what == "studies":
        return import_module("sweeps").shipped()
    rooms = {"losses": "losses", "backbones": "backbones", "datasets": "bench.datasets", "protocols": "bench.protocols"}
    if what not in rooms:
        raise RequestError(f"list takes {', '.join(rooms)} or studies, got {what!r}")
    return import_module(rooms[what]).names()
