"""What an import may bring with it, seen in fresh processes: the rules that keep the rooms apart and the start fast."""

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "timm",
    "ray",
    "mlflow",
    "optuna",
    "pandas",
    "sklearn",
    "scipy",
    "matplotlib",
    "rich",
    "numpy",
    "pydantic",
}


# In one process, the lightest first: what has come stays, so each may have brought what is allowed to it or to those before.
HELP = "import sys; sys.argv = ['facebench', '--help']\nfrom bench import cli\ntry: cli.main()\nexcept SystemExit: pass"
ALLOWED = {
    "import losses": set(),
    "import sweeps, reports": set(),
    HELP: set(),
    "import bench.protocols; bench.protocols.names()": {"numpy"},
    "from bench.protocols import lfw, lfw_blufr, rank_k, ytf, megaface, heldout": {"numpy"},
    "import bench.metrics": {"numpy"},
    "import bench.datasets, bench.datasets.folder": {"numpy"},
    "from losses import CenterLoss": {"torch", "numpy"},
    "losses.create('lmcl', 3, 2)": {"torch", "numpy"},
    "import bench.trial, bench.single": HEAVY - {"ray", "mlflow", "optuna", "pydantic"},
}


def loaded(*codes):
    """The heavy packages that are loaded after each of `codes` has run, one after the other in a new interpreter."""
    tell = f"print('loaded:', *(m for m in {sorted(HEAVY)} if m in __import__('sys').modules))"
    script = "\n".join(f"{code}\n{tell}" for code in codes)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [set(line.split()[1:]) for line in done.stdout.splitlines() if line.startswith("loaded:")]


def test_an_import_brings_only_what_it_needs():
    assert list(ALLOWED.values()) == sorted(ALLOWED.values(), key=len), "the lightest first"
    found = dict(zip(ALLOWED, loaded(*ALLOWED), strict=True))
    assert {code: more for code, packages in found.items() if (more := packages - ALLOWED[code])} == {}
    assert "torch" in found["from losses import CenterLoss"], "what is loaded is seen"


def test_a_single_trial_is_prepared_without_torch():
    (found,) = loaded("import bench.single")
    assert found <= HEAVY - {"ray", "mlflow", "optuna", "pydantic", "torch"}


EVALUATE = """
import sys
for module in ("torch", "timm", "torchvision", "ray", "mlflow", "optuna"):
    sys.modules[module] = None
sys.argv = ["facebench", "evaluate", "mine.csv", "--protocol", "heldout", "--root", ".", "--set", "groups=groups.csv"]
from bench import cli
cli.main()
"""


def test_evaluate_works_where_torch_timm_ray_mlflow_and_optuna_are_missing(tmp_path):
    people = [f"Person_{number:02d}" for number in range(24)]
    images = [f"{person}/{number}.jpg" for person in people for number in range(3)]
    (tmp_path / "images.txt").write_text("\n".join(images))
    (tmp_path / "groups.csv").write_text(
        "person,group\n" + "\n".join(f"{p},{'ab'[n % 2]}" for n, p in enumerate(people))
    )
    rows = [f"{image},{place % 7 - 3},{place % 5},{place // 3}" for place, image in enumerate(images)]
    (tmp_path / "mine.csv").write_text("\n".join(reversed(rows)))
    done = subprocess.run([sys.executable, "-c", EVALUATE], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "heldout/auc" in done.stdout and "heldout/group_a/tar_at_far_1e-2" in done.stdout


@pytest.mark.slow
def test_a_trial_runs_where_ray_mlflow_and_optuna_are_missing(tmp_path):
    """`facebench train` and `evaluate` on a machine that has torch and timm alone."""
    hide = "import sys\nfor m in ('ray', 'mlflow', 'optuna'): sys.modules[m] = None\n"
    argv = "['facebench', 'train', 'lmcl', '--dataset', 'digits', '--epochs', '1', '--protocol', 'heldout', "
    argv += "'--set', 'channels=1', '--set', 'image_size=16', '--set', 'backbone_options.widths=[4, 4, 4, 4]']"
    script = f"{hide}sys.argv = {argv}\nfrom bench import cli\ncli.main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "heldout/auc" in done.stdout
