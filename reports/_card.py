"""A network's model card, in the form that Hugging Face reads: what it is, what it scored, and what speaks against that."""

import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import ledger, record, scorers
from bench.networks.inputs import Inputs
from bench.record import Record
from bench.scores import Clusters
from reports import _figures, _words
from reports.statistics import SEEDS_FOR_A_VERDICT

_MADE_UP = {
    "faces": "The images were made up by facebench: they show nobody, and nobody has rights in them.",
    "digits": "The images are scikit-learn's handwritten digits.",
}
_OTHERS = (
    "facebench reads these images where they lie and knows nothing of their licence. Photographs of people are personal data; "
    "most public face sets allow research alone, and what is trained on them is usually bound by that: read their terms "
    "before the weights are handed on or used."
)


def text(known: Record, inputs: Inputs, difference: float, tolerance: float) -> str:
    """The card as markdown with its front matter.

    Args:
        difference, tolerance: between the ONNX file and torch, and how much is let pass.
    """
    parts = [
        f"---\n{_front(known)}---",
        f"# {_name(known)}",
        _what(known),
        *_section("Read this first", "\n".join(f"- {one}" for one in warnings(known))),
        *_section("Figures", _figures_of(known)),
        *_section("What it wants of images", _inputs(inputs)),
        *_section("How it was made", _made(known)),
        *_section("Files", _files(known, difference, tolerance)),
        *_section("Licence of the data", _MADE_UP.get(known.trial.data["name"], _OTHERS)),
    ]
    return "\n\n".join(parts) + "\n"


def warnings(known: Record) -> list[str]:
    """What a reader of the figures is to be told first; one sentence each."""
    return [
        *_of_the_run(known),
        *(one for name, score in known.scores.items() for one in _of_a_protocol(known, name, score)),
    ]


def _of_the_run(known: Record) -> Iterator[str]:
    seeds = len(_siblings(known))
    if known.trial.epochs == 0:
        yield "The network is untrained."
    if seeds < SEEDS_FOR_A_VERDICT:
        runs = "This is the only run" if seeds == 1 else f"There are {seeds} runs"
        yield f"Pilot: {runs} of this configuration, fewer than {SEEDS_FOR_A_VERDICT}, so nothing can be said of its loss."
    if known.provenance.get("dirty"):
        yield "Dirty: the code had uncommitted changes, so the commit below does not describe it whole."
    if known.cost.get("precision") == "bf16":
        yield "The figures were computed in bf16, and the files compute in float32: theirs differ a little."
    if skipped := known.provenance.get("skipped_images"):
        yield f"{skipped:,} training images could not be read and were left out."
    if not known.scores:
        yield "It was scored on no test."


def _of_a_protocol(known: Record, name: str, score: Mapping[str, Any]) -> Iterator[str]:
    for entry in score["spec"].get("missing", ()):
        yield f"Partial: {name} was scored without {entry['count']:,} of its {entry['of']:,} {entry['what']}."
    detail = score["overlap"].get("detail", "")
    if score["overlap"].get("verdict") == "unknown":
        yield f"Whether training and {name} share people is not known: {detail}."
    if score["overlap"].get("verdict") == "allowed":
        yield f"Training and {name} overlap, and that was allowed: {detail}."
    if known.trial.study == "single" and (looks := _looks_before(known, name, score["hash"])):
        yield (
            f"Perhaps test-selected: {name} had been looked at {looks} times here before this run by hand, whose settings may "
            "have been chosen by what was seen."
        )
    if scorers.needs_fit(known.trial.scorer, known.trial.scorer_options):
        yield (
            f"The figures on {name} compare by {known.trial.scorer}, fitted on the training images and in none of these files: "
            "`facebench evaluate` compares by cosine, and its figures are others."
        )


def _looks_before(known: Record, name: str, hash: str) -> int:
    """How often the test was scored here before the run itself was."""
    looks = [entry for entry in ledger.entries() if entry.get("hash") == hash]
    own = [place for place, entry in enumerate(looks) if (entry["trial"], entry["protocol"]) == (known.trial.id, name)]
    return own[0] if own else 0


def _siblings(known: Record) -> list[Record]:
    """The finished runs of the same configuration on other seeds, this one among them."""
    trial = known.trial
    same = [
        one
        for one in record.read_study(known.folder.parent)
        if one.state == "finished"
        and all(
            getattr(one.trial, key) == getattr(trial, key) for key in ("stage", "role", "name", "backbone", "study")
        )
        and one.trial.loss_options == trial.loss_options
    ]
    return same if trial.study != "single" else [known]


def _name(known: Record) -> str:
    return f"{known.trial.backbone} trained with {known.trial.name} ({known.trial.id[:8]})"


def _front(known: Record) -> str:
    import yaml

    results = [
        {
            "task": {"type": "face-verification", "name": "Face verification and identification"},
            "dataset": {"type": name, "name": f"{name} (protocol {score['hash']})"},
            "metrics": [
                {"type": score["primary"], "value": score["metrics"][score["primary"]], "name": score["primary"]}
            ],
        }
        for name, score in known.scores.items()
        if score["primary"] in score["metrics"]
    ]
    front: dict[str, Any] = {
        "library_name": "facebench",
        "pipeline_tag": "image-feature-extraction",
        "license": "other",
        "license_name": "see-licence-of-the-data",
        "tags": ["face-recognition", "onnx", "safetensors", known.trial.loss, known.trial.backbone],
    }
    if results:
        front["model-index"] = [{"name": _name(known), "results": results}]
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True)


def _what(known: Record) -> str:
    trial, cost = known.trial, known.cost
    parameters = f", {cost['parameters']:,} parameters" if cost.get("parameters") else ""
    return (
        f"Images of faces become {trial.embedding_dim} numbers each; two of them are compared by {trial.scorer}. Backbone "
        f"`{trial.backbone}` {_options(trial.backbone_options)}{parameters}; loss `{trial.loss}` {_options(trial.loss_options)}."
    )


def _options(options: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{key} {value}' for key, value in options.items())})" if options else "(its defaults)"


def _figures_of(known: Record) -> str:
    parts = [_table(name, score) for name, score in known.scores.items()]
    said = "In percent, with the standard error over the test's identities, for this one network."
    return "\n\n".join([said, *parts, *_over_seeds(known)]) if parts else ""


def _table(name: str, score: Mapping[str, Any]) -> str:
    """One protocol: what was counted, then its figures and what could not be said."""
    counted = ", ".join(f"{key.replace('_', ' ')} {value:,.10g}" for key, value in score["counts"].items())
    lines = [f"{name} (protocol {score['hash']}): {counted}\n", "| figure | value | |", "|---|---|---|"]
    marks = score["marks"]
    for metric, value in score["metrics"].items():
        if not metric.endswith(_figures.SPREAD):
            lines.append(f"| {metric} | {_measured(score, metric, value)} | {marks.get(metric, '')} |")
    undefined = {metric: why for metric, why in score["undefined"].items() if not metric.endswith(_figures.SPREAD)}
    return "\n".join(lines + [f"| {metric} | undefined | {why} |" for metric, why in undefined.items()])


def _measured(score: Mapping[str, Any], metric: str, value: float) -> str:
    clusters = score["clusters"].get(metric)
    return _words.plus_minus(value, Clusters(**clusters).standard_error if clusters else float("nan"))


def _over_seeds(known: Record) -> list[str]:
    same = _siblings(known)
    lines = []
    for name, score in known.scores.items():
        metric = score["primary"]
        comparable = [one for one in same if name in one.scores and one.scores[name]["hash"] == score["hash"]]
        values = [one.metrics[metric] for one in comparable if metric in one.metrics]
        if len(values) > 1:
            lines.append(f"- {metric}: {_words.plus_minus(statistics.mean(values), statistics.stdev(values))}")
    said = f"Mean ± standard deviation over the {len(same)} seeds of this configuration:"
    return ["\n".join([said, "", *lines])] if lines else []


def _inputs(inputs: Inputs) -> str:
    of = "" if inputs.crop is None else f", of its central {inputs.crop} pixels"
    patch = "" if inputs.patch is None else f", of that the patch (top, left, side) {inputs.patch}"
    joined = {
        "concat": "the mirror image's embedding is appended",
        "add": "the mirror image's embedding is added",
        "none": "the mirror image is not looked at",
    }[inputs.flip]
    height, width = inputs.size
    return (
        f"An aligned face{of}{patch}, scaled to {height} x {width} (bicubic); {inputs.colour.upper()}, {inputs.layout.upper()}, "
        f"float32, `(x - {inputs.mean[0]:g}) / {inputs.std[0]:g}` of pixels from 0 to {inputs.range:g}. For the figures above "
        f"{joined}. The metadata of both files say all of this under `facebench.*`."
    )


def _made(known: Record) -> str:
    trial, facts = known.trial, known.provenance
    chosen = {
        "tuned": "by a search on people held out of the training set, never on a test",
        "again": "as the tuned run's, on another seed",
        "default": "none: the defaults",
        "untrained": "none",
    }
    single = trial.study == "single"
    how = "by hand" if single else chosen.get(trial.role, trial.role)
    rows = [
        ("data", f"`{trial.data['name']}` {_data(trial.data)}".rstrip()),
        ("trained on", f"{facts.get('train_images', 0):,} images of {facts.get('train_identities', 0):,} people"),
        ("checkpoint", f"the last one, after epoch {trial.epochs}; none was chosen by any figure"),
        ("settings", f"chosen {how}" if how != "none" else "untouched"),
        ("optimiser", f"{trial.optimizer}, learning rate {trial.learning_rate:g}, weight decay {trial.weight_decay:g}, "
         f"batches of {trial.batch_size}, seed {trial.seed}"),
        ("precision of the figures", f"{known.cost.get('precision', 'unknown')}, on {known.cost.get('device', 'unknown')}"),
        ("trial", f"`{trial.id}` of study `{trial.study}`, {trial.stage}, {trial.role}"),
        ("commit", f"`{facts.get('commit') or 'unknown'}`{', with uncommitted changes' if facts.get('dirty') else ''}"),
        ("versions", ", ".join(f"{key} {value}" for key, value in facts.get("versions", {}).items())),
    ]  # fmt: skip
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows)])


def _data(data: Mapping[str, Any]) -> str:
    """The options of a data set; of paths the names alone: where they lay is nobody's business."""
    shown = {key: _named(value) for key, value in data.items() if key != "name"}
    return f"({json.dumps(shown)[1:-1]})" if shown else ""


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [_named(one) for one in value]
    return Path(value).name if isinstance(value, str) and "/" in value else value


def _files(known: Record, difference: float, tolerance: float) -> str:
    return (
        "- `model.onnx`: input `images` (batch, channels, height, width), output `embeddings` (batch, dimensions), any batch. "
        f"Checked against torch on random images: the largest difference is {difference:.1g} of the largest number "
        f"(at most {tolerance:g} is let pass).\n"
        "- `model.safetensors`: the weights alone.\n\n"
        "```\nfacebench evaluate --model model.onnx --protocol lfw --data FOLDER\n```"
    )


def _section(title: str, body: str) -> list[str]:
    return [f"## {title}", body] if body else []
