"""Figures on the terminal: fractions, each with its spread, and what could not be said."""

from collections.abc import Mapping
from typing import Any

from bench.scores import Clusters


def scores(answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the plain scores of protocols (`bench.scoring.plain`) as one table; nothing where nothing was scored."""
    if not answers:
        return
    from rich.markup import escape
    from rich.table import Table

    console = _console()
    table = Table(box=None, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("\N{PLUS-MINUS SIGN} standard error, or 95 %", no_wrap=True)
    table.add_column("", overflow="fold")
    for answer in answers.values():
        for name, value in answer["metrics"].items():
            if not name.endswith(("_se", "_low", "_high")):
                table.add_row(name, f"{value:.4f}", _spread(answer, name), escape(answer["marks"].get(name, "")))
        for name, reason in answer["undefined"].items():
            table.add_row(name, "undefined", "", escape(reason))
    console.print(table)
    for name, answer in answers.items():
        counts = ", ".join(f"{key.replace('_', ' ')} {value:,.10g}" for key, value in answer["counts"].items())
        overlap = f"; overlap with training {answer['overlap']['verdict']}" if answer["overlap"] else ""
        console.print(f"{name}: {counts}{overlap}", style="dim", highlight=False, markup=False)
        if "model" in answer:
            console.print(_model(answer["model"]), style="dim", highlight=False, markup=False)


def _model(model: Mapping[str, Any]) -> str:
    """A network that was scored, and what it was given."""
    inputs = model["inputs"]
    size, mean, std = ("x".join(f"{one:g}" for one in inputs["size"]), *(_few(inputs[key]) for key in ("mean", "std")))
    file = f"sha256 {model['sha256'][:16]}" if model["sha256"] else model.get("weights", "")
    assumed = [key for key, source in inputs["said_by"].items() if source == "assumed" and key not in ("crop", "patch")]
    guess = f"; taken for granted: {', '.join(assumed)}" if assumed else ""
    return (
        f"{model['name']}: {model['kind']}, {file}; given {size} {inputs['colour']} {inputs['layout']}, "
        f"(x - {mean}) / {std} of 0 to {inputs['range']:g}, mirror image: {inputs['flip']}{guess}"
    )


def _few(numbers: list[float]) -> str:
    return f"{numbers[0]:g}" if len(numbers) == 1 else f"({', '.join(f'{one:g}' for one in numbers)})"


def _console() -> Any:
    """The terminal; a file or a pipe is as wide as it needs to be."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=140)


def _spread(answer: Mapping[str, Any], name: str) -> str:
    """A figure's 95 % interval, or its standard error over identities, where it has one."""
    metrics, clusters = answer["metrics"], answer["clusters"].get(name)
    if f"{name}_low" in metrics:
        return f"{metrics[f'{name}_low']:.4f} to {metrics[f'{name}_high']:.4f}"
    if clusters:
        return f"\N{PLUS-MINUS SIGN} {Clusters(**clusters).standard_error:.4f}"
    return f"\N{PLUS-MINUS SIGN} {metrics[f'{name}_se']:.4f}" if f"{name}_se" in metrics else ""


def comparison(found: Any) -> None:
    """Print two networks on one protocol (`reports.comparisons`), in percent points; the declared figure first."""
    from rich.markup import escape
    from rich.table import Table

    console = _console()
    for name, who in (("A", found.a), ("B", found.b)):
        console.print(f"{name}: {who}", markup=False, highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in (found.protocol, "A %", "B %", "B - A, points", "95 %", "p", "B is", ""):
        table.add_column(column, justify="left" if column in (found.protocol, "B is", "") else "right", no_wrap=True)
    table.columns[-1].no_wrap = False
    for place, line in enumerate(found.lines):
        figures = (f"{100 * value:{sign}.2f}" for value, sign in ((line.a, ""), (line.b, ""), (line.difference, "+")))
        between = f"{100 * line.low:+.2f} to {100 * line.high:+.2f}"
        said = f"over {line.over}" + (f"; {line.mark}" if line.mark else "")
        name = line.metric.partition("/")[2] + (" (declared)" if place == 0 else "")
        table.add_row(name, *figures, between, f"{line.p:.3g}", line.verdict, escape(said))
    console.print(table)
    for one in found.decisions:
        console.print(
            f"McNemar, {one.pairs}: A alone right on {one.only_a}, B alone on {one.only_b} of {one.count:,} pairs, "
            f"p {one.p:.3g} (exact; it takes pairs that share people for independent)",
            highlight=False,
            markup=False,
        )
    console.print(
        "These two networks, not these two losses; one figure is declared, p of the others is not corrected for their number.",
        style="dim",
    )


def plan(found: Any) -> None:
    """Print what a study needs to find an effect (`reports.plan`), in percent points."""
    from rich.table import Table

    console = _console()
    console.print(
        f"{found.study}, {found.metric}: to find a true difference of {100 * found.effect:.2f} points with probability "
        f"{found.power:g} (two-way t, p < .05, not corrected for the number of comparisons)",
        markup=False,
        highlight=False,
    )
    table = Table(box=None, pad_edge=False)
    units = "searches" if found.comparisons[0].unit == "search" else "seeds"
    for column in ("", f"{units} now", "finds now, points", f"{units} needed", "at worst", "runs", "training"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for need in found.comparisons:
        costs = [_or_none(need.runs), _time(need.seconds)]
        finds = f"{100 * need.detectable:.2f}"
        table.add_row(
            f"{need.a} - {need.b}", str(need.seeds), finds, _or_none(need.needed), _or_none(need.at_worst), *costs
        )
    console.print(table)
    for need in found.comparisons:
        times = [f"{_times(times)} with {seeds} {units}" for seeds, times in need.identities.items()]
        console.print(f"{need.a} - {need.b}: test identities: {', '.join(times)}", markup=False, highlight=False)
    for sentence in found.refused:
        console.print(f"not compared: {sentence}", markup=False, highlight=False)
    console.print(_together(found, units), markup=False, highlight=False)
    console.print(
        f"By the spreads that this study saw. At worst: where the spread over {units} is at the upper end of what so few "
        "leave open (one chance in five is beyond it).",
        style="dim",
    )


def _together(found: Any, units: str) -> str:
    if found.seeds is None:
        return f"together: no number of {units} serves every comparison; the test needs more identities"
    if found.seeds <= min(need.seeds for need in found.comparisons):
        return f"together: the {units} that are there serve every comparison ({found.seeds} would)"
    part = "tune" if units == "searches" else "confirm"
    return (
        f"together: `{part}: {{{units}: {found.seeds}}}` in a new study (another number is another study), "
        f"{found.runs:,} runs of these rows with their tuning, {_time(found.seconds)} one after another"
    )


def _or_none(number: int | None) -> str:
    return "none does" if number is None else f"{number:,}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _times(times: float | None) -> str:
    return "no number of them" if times is None else "as many as now" if times <= 1 else f"{times:.1f} times as many"


def findings(found: list) -> None:
    """Print what the doctor found."""
    from rich.console import Console

    console = Console()
    colour = {"ok": "green", "missing": "yellow", "wrong": "red"}
    for finding in found:
        console.print(f"[{colour[finding.state]}]{finding.state:8}[/] {finding.subject:12} ", end="")
        console.print(finding.detail, markup=False, highlight=False)


def inspection(found: Any) -> None:
    """Print what lies at a path (`bench.inspection.Inspection`)."""
    print(f"{found.path}: {found.what}")
    if found.protocol:
        print(f"  scored by: facebench evaluate ... --protocol {found.protocol}")
    if not found.dataset:
        return
    options = "".join(f" --set data.{key}={_yaml(value)}" for key, value in found.options.items())
    each, sizes = found.images_per_identity, ", ".join(f"{size} ({count})" for size, count in found.sizes.items())
    print(f"  read by:    facebench train --dataset {found.dataset}{options}")
    print(f"  identities: {found.identities:,}")
    print(
        f"  images:     {found.images:,}, {each['min']:,} to {each['max']:,} an identity, median {each['median']:,.10g}"
    )
    print(f"  sampled:    {found.sampled:,}, of {sizes or 'no size'}; {found.unreadable} cannot be read")
    for line in [found.first_unreadable, *found.warnings]:
        if line:
            print(f"  ! {line}")


def _yaml(value: Any) -> str:
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, list) else str(value)
