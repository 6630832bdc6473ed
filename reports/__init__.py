"""Records -> leaderboard, figures, statistics, HTML / Markdown / CSV. A report can be redone without a GPU.

    import reports
    reports.write("runs/smoke")             # -> runs/smoke/report/report.html, leaderboard.md, .csv, .json, .tex
    reports.frame("runs/smoke")             # -> a pandas table, a row a trial
    reports.curves("runs/smoke")            # -> another, a row a point of a curve

One file with a `render(records)` is one section of the report, under the file's name. Nothing heavy is imported before
a function is called.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports._export import export as export
    from reports._frame import curves as curves
    from reports._frame import frame as frame
    from reports._given import comparisons as comparisons
    from reports._plan import plan as plan
    from reports._promotion import promotion as promotion
    from reports._sections import known as known
    from reports._sections import names as names
    from reports._study import Study as Study
    from reports._study import read as read
    from reports._watch import watch as watch
    from reports._write import summarise as summarise
    from reports._write import write as write

_HOME = {
    "write": "_write",
    "summarise": "_write",
    "watch": "_watch",
    "export": "_export",
    "frame": "_frame",
    "curves": "_frame",
    "comparisons": "_given",
    "plan": "_plan",
    "promotion": "_promotion",
    "names": "_sections",
    "known": "_sections",
    "read": "_study",
    "Study": "_study",
}


def __getattr__(name: str) -> Any:
    """The public functions, each imported when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'reports' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"reports.{_HOME[name]}"), name)
