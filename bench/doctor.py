"""`facebench doctor`: what this machine lacks, and what to do about it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import places

_MIXED = (
    "torch {torch} and torchvision {torchvision} come from different builds (a CPU torch beside the registry's CUDA "
    "torchvision, say): install both from the same one, `pip install --force-reinstall torch torchvision` from one index, "
    "or `make clean setup` (it keeps runs/)"
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state` is `ok`, `missing` (some commands need it) or `wrong` (it must be mended)."""

    subject: str
    state: str
    detail: str


def examine() -> list[Finding]:
    """Look at everything; importing is tried in a fresh process, since a failed import leaves half a package behind."""
    return [_python(), *_torch(), *map(_package, ("timm", "sklearn", "pandas", "ray", "optuna", "mlflow")), *_folders()]


def _python() -> Finding:
    known = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    return Finding("python", "ok" if fine else "wrong", known if fine else f"{known}: facebench needs 3.11 or newer")


def _torch() -> list[Finding]:
    done = _try("import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'no accelerator')")
    if done.returncode:
        return [Finding("torch", "wrong", f"import fails: {_last_line(done.stderr)}; `make setup` installs it")]
    major, minor = map(int, version("torch").split(".")[:2])
    if (major, minor) < (2, 6):
        return [Finding("torch", "wrong", f"{version('torch')}: facebench needs torch 2.6 or newer")]
    return [Finding("torch", "ok", f"{version('torch')}, {done.stdout.strip().splitlines()[-1]}"), _torchvision()]


def _torchvision() -> Finding:
    try:
        builds = {"torch": version("torch"), "torchvision": version("torchvision")}
    except PackageNotFoundError:
        return Finding("torchvision", "wrong", "not installed, and timm needs it: `make setup` installs it")
    done = _try("import torchvision")
    if done.returncode == 0:
        return Finding("torchvision", "ok", builds["torchvision"])
    if "torchvision::nms" in done.stderr or "undefined symbol" in done.stderr or "libcuda" in done.stderr:
        return Finding("torchvision", "wrong", _MIXED.format(**builds))
    return Finding("torchvision", "wrong", f"import fails: {_last_line(done.stderr)}")


def _package(module: str) -> Finding:
    uses = {"ray": "sweep --address local or a cluster", "optuna": "sweep", "mlflow": "sweep, ui, sync"}
    package = {"sklearn": "scikit-learn"}.get(module, module)
    if importlib.util.find_spec(module) is None:
        if module in uses:
            return Finding(module, "missing", f"not installed: train and evaluate work, {uses[module]} do not")
        return Finding(module, "wrong", "not installed: `make setup` installs it")
    return Finding(module, "ok", version(package))


def _folders() -> list[Finding]:
    found = [_writable("runs", places.runs()), _writable("cache", places.cache())]
    data = os.environ.get("FACEBENCH_DATA")
    if not data:
        found.append(
            Finding("data", "missing", "$FACEBENCH_DATA is not set: studies on files of yours need --data FOLDER")
        )
    elif not Path(data).is_dir():
        found.append(Finding("data", "wrong", f"$FACEBENCH_DATA names {data}, which is no folder"))
    else:
        found.append(Finding("data", "ok", data))
    return found


def _writable(subject: str, folder: Path) -> Finding:
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    if not os.access(parent, os.W_OK):
        return Finding(subject, "wrong", f"{folder} cannot be written: set $FACEBENCH_{subject.upper()}")
    return Finding(subject, "ok", f"{folder}, {shutil.disk_usage(parent).free / 2**30:.0f} GiB free")


def _try(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
