"""What facebench may not do, held by reading its source, and by running it on what somebody hostile has made."""

import ast
import io
import pickle
import zipfile
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import fake_trial
import pytest
from made_up_sweep import make, no_mlflow  # noqa: F401 (fixture)

import reports
import sweeps
from bench import _mlflow_back, datasets, settings
from bench.checkpoint import Checkpoints
from bench.errors import RequestError
from bench.plain import Result
from sweeps import reading

ROOT = Path(__file__).parents[1]
SOURCES = [
    path for room in ("backbones", "bench", "losses", "reports", "sweeps") for path in (ROOT / room).rglob("*.py")
]
NEVER = {
    "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "pickle.load", "pickle.loads", "pickle.Unpickler",
    "joblib.load", "cloudpickle.load", "cloudpickle.loads", "marshal.loads", "shelve.open", "dill.load", "eval", "exec",
    "os.system", "os.popen", "shutil.unpack_archive", "pandas.read_pickle", "pd.read_pickle",
}  # fmt: skip


@cache
def nodes():
    """(file, node) of every call and every constant in the source."""
    trees = ((path.relative_to(ROOT), ast.parse(path.read_text())) for path in SOURCES)
    return [
        (path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call | ast.Constant)
    ]


@cache
def calls():
    """(file, the name that is called, the call) of every call in the source."""
    found = [(path, node) for path, node in nodes() if isinstance(node, ast.Call)]
    return [(f"{path}:{node.lineno}", ast.unparse(node.func), node) for path, node in found]


def keywords(call):
    return {word.arg: ast.unparse(word.value) for word in call.keywords}


def test_the_scan_sees_the_calls():
    names = Counter(name for _, name, _ in calls())
    assert names["yaml.load"] and names["torch.load"] and names["np.load"] and names["Markup"] > 10


def test_nothing_is_unpickled_evaluated_or_unpacked():
    ours = "bench/processes.py"  # reads what it has pickled itself, in the same line
    assert [where for where, name, _ in calls() if name in NEVER and not where.startswith(ours)] == []
    unpacked = [where for where, name, _ in calls() if name.rpartition(".")[2] in ("extractall", "extract")]
    assert unpacked == []
    assert [where for where, _, call in calls() if keywords(call).get("shell") == "True"] == []
    assert [where for where, _, call in calls() if keywords(call).get("allow_pickle") == "True"] == []


def test_checkpoints_are_loaded_as_weights_only_and_yaml_safely():
    for where, name, call in calls():
        if name == "torch.load":
            assert keywords(call).get("weights_only") == "True", where
        if name == "yaml.load":
            assert where.startswith("sweeps/reading.py") and ast.unparse(call.args[1]) == "_Loader", where
    import yaml

    assert issubclass(reading._Loader, yaml.SafeLoader)


def test_nothing_listens_at_every_address_unless_it_is_asked_to():
    everywhere = [path for path, node in nodes() if isinstance(node, ast.Constant) and node.value in ("0.0.0.0", "::")]
    assert everywhere == []


def test_html_is_made_of_constant_texts_and_escapes_the_rest():
    for where, name, call in calls():
        if name == "Markup" and not where.startswith("reports/_plots.py"):  # Matplotlib's, which the report below holds
            made = [text for text in call.args if not isinstance(text, ast.Constant)]
            assert all(ast.unparse(text).startswith(("escape(", "template.render(")) for text in made), where
        if name == "Environment":
            assert keywords(call).get("autoescape") == "True", where
    templates = list((ROOT / "reports" / "templates").iterdir())
    assert templates and not any("|safe" in path.read_text().replace(" ", "") for path in templates)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_that_would_run_code_is_passed_over(tmp_path):
    bomb = pickle.dumps({"state": {"epoch": 9}, "events": "[]", "bomb": Bomb(tmp_path / "exploded")}, 2)
    (tmp_path / "checkpoint-1.pt").write_bytes(bomb)
    with zipfile.ZipFile(tmp_path / "checkpoint-2.pt", "w") as file:  # as torch.save writes
        file.writestr("archive/data.pkl", bomb)
        file.writestr("archive/version", "3")
    assert Checkpoints(str(tmp_path)).latest() is None
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists(), "the bomb is none"


def test_yaml_makes_no_objects(tmp_path):
    call = f"!!python/object/apply:os.mkdir ['{tmp_path / 'made'}']"
    with pytest.raises(RequestError):
        reading.parse(f"name: {call}", "study.yaml")
    with pytest.raises(RequestError):
        settings.parse([f"a={call}"])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["../../escaped/1.png", "/escaped/1.png", "Ann/../../escaped.png"])
def test_an_archive_with_names_that_lead_out_of_it_is_refused_and_writes_nothing(tmp_path, name):
    place = tmp_path / "data"
    place.mkdir()
    with zipfile.ZipFile(place / "faces.zip", "w") as file:
        for inside in (name, "Ann/3.png", "Bob/5.png"):
            file.writestr(inside, b"a picture")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RequestError, match="which leads out of it"):
        datasets.load("folder", paths=[str(place / "faces.zip")])
    assert sorted(tmp_path.rglob("*")) == before and not Path("/escaped").exists()


EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&{{7*7}}"


CURVES = {"roc": {"far": [0.0, 0.01, 0.1, 1.0], "tar": [0.0, 0.5, 0.9, 1.0]}}


class Page(HTMLParser):
    """Counts what a browser would run or load."""

    def __init__(self, text):
        super().__init__()
        self.active = Counter()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "img", "iframe", "object", "embed", "link", "base", "form"):
            self.active[tag] += 1
        self.active.update(
            name for name, value in attributes if name.startswith("on") or "javascript:" in (value or "")
        )


def report(name, evil):
    """The report of a study whose labels, options, people, reasons and metrics are called so."""

    def run(trial, folder):
        if trial.role == "search" and trial.number == 1:
            raise ValueError(evil)
        for event in fake_trial.run(trial, folder):
            if isinstance(event, Result):
                more = {f"lfw/accuracy_{evil}": 0.5} if trial.protocols else {}
                facts = event.provenance | {"skipped_images": 1, "first_skipped": [f"{evil}/1.png: {evil}"]}
                scores = {key: value | {"curves": CURVES} for key, value in event.scores.items()}
                event = Result(event.metrics | more, scores, event.raw, event.cost | {"device": evil}, facts)
            yield event

    study = make(
        name=name,
        losses={"softmax": {}, evil: {"loss": "lmcl"}},
        backbones={"cnn4": {"act": evil}},
        data={"person": evil},
        tune={"trials": 3, "epochs": 2},
    )
    folder = sweeps.sweep(study, address="inline", run=run, stream=io.StringIO(), command=f"facebench sweep {evil}")
    reports.write(folder)
    return (folder / "report" / "report.html").read_text()


def test_names_from_data_are_text_in_a_report():
    hostile, harmless = report("hostile", EVIL), report("harmless", "a harmless name")
    assert EVIL not in hostile and "&lt;script&gt;alert(" in hostile and "49" not in hostile.split("&{{7*7}}")[0][-5:]
    assert Page(hostile).active == Page(harmless).active
    assert Page(f"<p>{EVIL}").active == {"script": 1, "img": 1, "onerror": 1}, "the parser sees it"


@pytest.mark.parametrize("said", ["/home/me", "../../x", "..", "", "a/b"])
def test_a_tag_of_mlflow_names_no_folder_but_a_trials(said):
    """Whoever can write to the server can write any tag; what is fetched replaces the folder that it names."""
    run = SimpleNamespace(info=SimpleNamespace(run_id="r"), data=SimpleNamespace(tags={"facebench.trial": said}))
    with pytest.raises(RequestError, match="which is no trial's id"):
        _mlflow_back._id(run)
    run.data.tags["facebench.trial"] = "093c26d806dcc6e3"
    assert _mlflow_back._id(run) == "093c26d806dcc6e3"
