"""`facebench submit`, `status` and `stop`: studies that run elsewhere, or in another process."""

import sys
from typing import Annotated, Any

import typer

from bench._command import JsonOption, print_json
from bench.errors import RequestError
from bench.plain import arm

StudyArgument = Annotated[str, typer.Argument(help="a yaml file, or the name of a shipped study")]
DashboardOption = Annotated[str, typer.Option("--address", help="of the Ray dashboard: http://HEAD:8265")]
AnyDashboardOption = Annotated[str | None, typer.Option("--address", help="of the Ray dashboard: http://HEAD:8265")]


def submit(
    study: StudyArgument,
    address: DashboardOption,
    follow: Annotated[bool, typer.Option("--follow", help="show the job's log until it ends, exit as it does")] = False,
    runs: Annotated[str | None, typer.Option(help="the runs folder on the cluster; else $FACEBENCH_RUNS")] = None,
    data: Annotated[str | None, typer.Option(help="the data folder on the cluster; else $FACEBENCH_DATA")] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="at most so many trials at once")] = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="score although training and test share people")
    ] = False,
    with_requirements: Annotated[
        bool, typer.Option("--with-requirements", help="have the nodes install requirements.lock for the job")
    ] = False,
) -> None:
    """Run a study as a job of a Ray cluster; the same command goes on with one that was stopped.

    The current folder travels with the job, without data, caches and what git ignores; so do facebench's own packages.
    Stores must be absolute paths or URLs: a job's working directory is thrown away.
    """
    import reports
    import sweeps
    from bench.credentials import hidden
    from sweeps import packing, shipment

    asked = sweeps.load(study, report=reports.known())
    sent = shipment.submit(
        asked,
        study,
        address,
        runs=runs,
        data=data,
        slots=slots,
        allow_overlap=allow_overlap,
        with_requirements=with_requirements,
    )
    job = sent.job.id
    what = f"{sent.files:,} file(s), {packing.size(sent.bytes)}, and facebench itself, {packing.size(sent.own_bytes)}"
    typer.echo(f"job {job} submitted ({what}); end it with `facebench stop {asked.name} --address {hidden(address)}`")
    if follow:
        _follow(address, job)


def status(
    study: Annotated[str | None, typer.Argument(help="its name; all studies where none is given")] = None,
    address: AnyDashboardOption = None,
    as_json: JsonOption = False,
) -> None:
    """The trials of a study and where each stands; without a study all studies, with --address the cluster too."""
    import sweeps

    answer: dict[str, Any] = sweeps.status(study) if study else sweeps.overview()
    if address:
        from sweeps.jobs import Dashboard

        cluster = Dashboard(address)
        jobs = [vars(job) for job in cluster.jobs()]
        answer["cluster"] = {"address": cluster.address, "nodes": cluster.resources(), "jobs": jobs}
    if as_json:
        return print_json(answer)
    if study:
        _show_trials(answer)
    else:
        for one in answer["studies"]:
            trouble = f" ({one['trouble']})" if "trouble" in one else ""
            typer.echo(f"{one['study']}: {one['state']}{trouble}; {_said(one)}")
        if not answer["studies"]:
            typer.echo(f"no studies in {answer['runs']} yet")
    if address:
        _show_cluster(answer["cluster"])
    return None


def stop(
    study: Annotated[str, typer.Argument(help="its name, or its yaml file")],
    address: AnyDashboardOption = None,
) -> None:
    """Stop a running study, cleanly: on this machine, or with --address its job; the same command as before continues it."""
    if address is None:
        from sweeps import state

        owner = state.stop(study)
        typer.echo(f"{study}: stopped (process {owner.pid}); the same command continues where it stood")
        return
    import sweeps
    from sweeps.jobs import Dashboard, running

    name = sweeps.named(study)
    cluster = Dashboard(address)
    jobs = cluster.jobs()
    job = running(jobs, name)
    if job is None:
        last = next(
            (f"the last one, {job.id}, is {job.state}" for job in reversed(jobs) if job.study == name), "none yet"
        )
        raise RequestError(f"no job of study {name!r} runs at {cluster.address} ({last})")
    ended = cluster.stop(job)
    typer.echo(f"job {job.id}: {ended.state.lower()}; submit the study again to go on where it stood")


def _follow(address: str, id: str) -> None:
    """Show a job's log to its end, and end as it did: 0, its driver's own exit code, or 1."""
    from sweeps.jobs import Dashboard

    cluster = Dashboard(address)
    job = cluster.job(id)
    try:
        for text in cluster.follow(job):
            sys.stdout.write(text)
            sys.stdout.flush()
        ended = cluster.job(id)
    except KeyboardInterrupt:
        print(
            f"\nfacebench: job {id} runs on; stop it with `facebench stop {job.study} --address {cluster.address}`",
            file=sys.stderr,
        )
        sys.exit(130)
    if ended.state == "SUCCEEDED":
        typer.echo(f"job {id}: succeeded")
        return
    said = "" if ended.exit_code or not ended.message else f": {ended.message.splitlines()[0]}"
    print(f"facebench: job {id} {ended.state.lower()}{said}", file=sys.stderr)
    sys.exit(ended.exit_code if ended.exit_code in (1, 2) else 1)


def _show_trials(answer: dict[str, Any]) -> None:
    for trial in answer["trials"]:
        cell = f"{trial['backbone']}/{arm(trial['label'], trial.get('search', 1))}"
        where = f"{trial['stage']:8} {trial['state']:9} {cell} seed {trial['seed']}"
        typer.echo(f"{trial['id']}  {where}")
    typer.echo(f"{answer['study']}: {answer['state']}; {_said(answer['summary'])}")


def _said(summary: dict[str, Any]) -> str:
    """A study's figures on one line."""
    from sweeps.progress import duration

    by_state = ", ".join(f"{count} {state}" for state, count in summary["trials"].items())
    total = sum(summary["trials"].values())
    planned, left = summary["planned_epochs"], summary["left_seconds"]
    epochs = f"{summary['epochs']:,} epochs" if planned is None else f"{summary['epochs']:,} of {planned:,} epochs"
    eta = f"; about {duration(left)} left" if left else ""
    return f"{total:,} trial{'s' * (total != 1)}{f' ({by_state})' if by_state else ''}; {epochs}{eta}"


def _show_cluster(cluster: dict[str, Any]) -> None:
    nodes = cluster["nodes"]
    typer.echo(
        f"{cluster['address']}: {len(nodes)} node(s), {_used(nodes, 'cpus')} CPUs and {_used(nodes, 'gpus')} GPUs in use"
    )
    for node in nodes:
        head = " (head)" if node["head"] else ""
        typer.echo(f"  {node['node']}{head}: {_used([node], 'cpus')} CPUs, {_used([node], 'gpus')} GPUs")
    for job in cluster["jobs"]:
        study = f" (study {job['study']})" if job["study"] else ""
        typer.echo(f"  job {job['id']}: {job['state'].lower()}{study}")


def _used(nodes: list[dict[str, Any]], what: str) -> str:
    """`1.5 of 4`; `? of 4` where the cluster does not say what is used."""
    used = [node[f"{what}_used"] for node in nodes]
    said = "?" if None in used else f"{sum(used):g}"
    return f"{said} of {sum(node[what] for node in nodes):g}"
