"""Who drives a study: a name that lies in the study's folder, so that a driver that comes back is known again."""

import secrets
from pathlib import Path

NAME = ".driver"


def identity(folder: Path) -> str:
    """The name of the driver of a study that several share; "" where the folder's driver has the study to itself."""
    path = folder / NAME
    return path.read_text().strip() if path.exists() else ""


def named(folder: Path) -> str:
    """The driver's name, made where there is none."""
    from bench import record

    if not identity(folder):
        record.write_text(folder / NAME, f"{secrets.token_hex(8)}\n")
    return identity(folder)
