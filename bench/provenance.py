"""What made a figure: code, versions, machine."""

import functools
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "facebench",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scikit-learn",
    "pandas",
    "pillow",
    "ray",
    "optuna",
    "mlflow",
)


@functools.cache
def code() -> dict[str, Any]:
    """`commit` and `dirty` of the checkout that facebench runs from; empty where it is installed without one."""
    root = Path(__file__).resolve().parent.parent
    # Installed into an environment inside somebody else's checkout, that one's commit says nothing.
    own = _git(root, "ls-files", "bench/provenance.py")
    commit = _git(root, "rev-parse", "HEAD") if own else ""
    return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain"))} if commit else {}


@functools.cache
def versions() -> dict[str, str]:
    """The installed versions of the packages that matter; those that are missing are left out."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def environment() -> dict[str, Any]:
    """Code, versions and machine as plain data."""
    machine = {"python": platform.python_version(), "platform": platform.platform(), "processor": _processor()}
    return {**code(), "versions": versions(), **machine}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
