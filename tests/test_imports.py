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


def brought_in(code):
    """The heavy packages that are loaded after `code` ran in a new interpreter."""
    script = f"{code}\nimport sys; print('loaded:', *(m for m in {sorted(HEAVY)} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import losses", set()),
        ("import losses; losses.create('lmcl', 3, 2)", {"torch", "numpy"}),
        ("from losses import CenterLoss", {"torch", "numpy"}),
        ("import bench.protocols; bench.protocols.names()", {"numpy"}),
        ("from bench.protocols import lfw, lfw_blufr, rank_k, ytf, megaface, heldout", {"numpy"}),
        ("import bench.metrics", {"numpy"}),
        ("import bench.datasets, bench.datasets.folder", {"numpy"}),
        ("import sweeps, reports", set()),
        (
            "import sys; sys.argv = ['facebench', '--help']\nfrom bench import cli\ntry: cli.main()\nexcept SystemExit: pass",
            set(),
        ),
        ("import bench.trial", HEAVY - {"ray", "mlflow", "optuna", "pydantic"}),
        ("import bench.single", HEAVY - {"ray", "mlflow", "optuna", "pydantic", "torch"}),
    ],
)
def test_an_import_brings_only_what_it_needs(code, allowed):
    assert brought_in(code) <= allowed


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
