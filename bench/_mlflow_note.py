"""What a study's parent run says of itself, in markdown: MLflow shows it as the run's description."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SUMMARY = "report/leaderboard.md"  # written by whoever can judge the records; its title is the study's name
LONGEST = 7900  # MLflow cuts a tag after 8,000 characters
_CUT = "\n\n(The rest is in the report.)"


def description(facts: Mapping[str, Any], folder: Path, state: str) -> str:
    """What the study asks, of what data, at what budget, how far it is; then its summary, where there is one."""
    said = [f"**{facts['name']}**: {_question(facts)}", "\n".join(f"- {line}" for line in _lines(facts, state))]
    summary = (folder / SUMMARY).read_text().partition("\n\n")[2] if (folder / SUMMARY).exists() else ""
    text = "\n\n".join(part for part in (*said, summary) if part)
    return text if len(text) <= LONGEST else text[: LONGEST - len(_CUT)].rpartition("\n")[0] + _CUT


def _question(facts: Mapping[str, Any]) -> str:
    losses = [str(loss) for loss in facts.get("losses", ())]
    if not losses:
        return "trials of one study."
    asked = f"which of {', '.join(losses)} is better" if len(losses) > 1 else f"how good is {losses[0]}"
    metric, reference = facts.get("primary"), facts.get("reference")
    on = f" on {metric}" if metric else ""
    against = f", each against {reference}" if len(losses) > 1 and reference in losses else ""
    return f"{asked}{on}{against}, and is the difference real?" if len(losses) > 1 else f"{asked}{on}?"


def _lines(facts: Mapping[str, Any], state: str) -> list[str]:
    file, tune, confirm = (facts.get(part) or {} for part in ("file", "tune", "confirm"))
    found = {
        "State": state,
        "Data": _code(file.get("data")),
        "Backbones": ", ".join(map(str, facts.get("backbones", ()))),
        "Tuned": _tuned(tune, facts.get("objective")) if tune else "not, the study file sets every loss" * bool(file),
        "Confirmed": f"{confirm.get('seeds')} seeds a loss" if confirm else "",
        "Tests": ", ".join(str(one.get("name")) for one in facts.get("protocols", ()) if isinstance(one, dict)),
        "Command": f"`{facts['command']}`" if facts.get("command") else "",
    }
    return [f"{key}: {text}" for key, text in found.items() if text]


def _tuned(tune: Mapping[str, Any], objective: Any) -> str:
    budget = f", {tune['budget_epochs']} epochs in all" if tune.get("budget_epochs") else ""
    return (
        f"{tune.get('trials')} trials a loss of {tune.get('epochs')} epochs{budget}, by {objective} on held-out people"
    )


def _code(plain: Any) -> str:
    return f"`{json.dumps(plain)}`" if plain else ""
