"""A study's folder -> report.html, leaderboard.md, .csv, .json and .tex, and the figures for a paper."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from bench.errors import RequestError
from bench.record import write_text
from reports import _markup, _plots, _sections, _tables, _words
from reports._study import Study, read

LARGEST = 8_000_000


def write(
    study_folder: str | Path,
    *,
    sections: Iterable[str] | None = None,
    refresh: float | None = None,
    figures: bool = False,
    pictures: bool = True,
) -> Path:
    """Write the report of a study into `<study folder>/report/`, each file whole or not at all.

    Args:
        sections: names of the sections wanted, in this order; None: all of them.
        refresh: seconds after which the page loads itself anew; None: it does not.
        figures: whether its figures are written too, each as `figures/<name>.svg` and `.png`; those that an earlier report
            left are drawn again in any case, unless the page is one that loads itself anew.
        pictures: whether it holds images of the data, which may show persons.

    Returns:
        The path of `report.html`, which needs no network and no other file.

    Raises:
        RequestError: the folder is no study, a section is unknown, or the page would exceed 8 MB.
    """
    study = replace(read(study_folder), pictures=pictures)
    folder = study.folder / "report"
    drawn = folder / "figures"
    with _kept(drawn) if figures or (drawn.exists() and refresh is None) else nullcontext():
        text = page(study, sections=sections, refresh=refresh)
        if (size := len(text.encode())) > LARGEST:
            smaller = "leave out the pictures (--no-pictures), or " * pictures
            raise RequestError(
                f"the report would be {size / 1e6:.1f} MB, expected at most {LARGEST / 1e6:.0f} MB: {smaller}name fewer sections "
                f"({', '.join(_sections.names())})"
            )
    folder.mkdir(exist_ok=True)
    tables = {"csv": _tables.csv, "md": _tables.markdown, "json": _tables.as_json, "tex": _tables.tex}
    for kind, made in tables.items():
        write_text(folder / f"leaderboard.{kind}", made(study))
    write_text(folder / "report.html", text)
    return folder / "report.html"


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """The figures that are drawn meanwhile stand in the folder, whole or as it was before."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with _plots.keeping(part):
            yield
    except BaseException:
        shutil.rmtree(part)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def summarise(study_folder: str | Path) -> None:
    """Write leaderboard.md alone, from which MLflow's description of the study takes the verdict and the leaderboard."""
    study = read(study_folder)
    (study.folder / "report").mkdir(exist_ok=True)
    write_text(study.folder / "report" / "leaderboard.md", _tables.markdown(study))


def page(study: Study, *, sections: Iterable[str] | None = None, refresh: float | None = None) -> str:
    """The whole page; the same records give the same text.

    Raises:
        RequestError: a section is unknown.
    """
    wanted = [(name, _sections.find(name)) for name in (_sections.names() if sections is None else sections)]
    found = [{"name": name, "title": _sections.title(name), "html": module.render(study)} for name, module in wanted]
    shown = [section for section in found if section["html"]]  # nothing to say: it is about another kind of study
    template = _markup.environment().get_template("report.html.j2")
    return template.render(title=study.name, lead=_lead(study), sections=shown, refresh=refresh, dark=_plots.DARK)


def _lead(study: Study) -> str:
    """What was compared, in a line."""
    shown = [record.trial for record in study if record.trial.role != "patch"] or [record.trial for record in study]
    losses = _words.listing(list(dict.fromkeys(trial.name for trial in shown)))
    nets = _words.listing(list(dict.fromkeys(record.trial.backbone for record in study)))
    data = _words.listing(sorted({str(record.trial.data.get("name", "unknown")) for record in study}))
    return f"{losses}, on {nets}, trained on {data}; {_words.many(len(study), 'trial')}."
