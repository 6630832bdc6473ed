"""The energy that a training takes, where the device reports it: a GPU through NVML, a CPU package through Linux's powercap."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")
GPU, CPU = "whole GPU (NVML)", "whole CPU package (RAPL)"  # with all else that runs on it


@dataclass(frozen=True)
class Counter:
    """One that runs on by itself: `read` gives joules, `wraps` after which it starts again (0: never)."""

    read: Callable[[], float]
    wraps: float = 0.0

    def since(self, before: float) -> float:
        """Joules since it stood at `before`; it is asked often enough to start again once at most."""
        now = self.read()
        return now - before + (self.wraps if now < before else 0.0)


class Meter:
    """Adds up what was used between `start` and `stop`.

    Attributes:
        of: whose energy it is; "" where the device reports none.
        joules: so far; None where that is not known, be it of a part only.
    """

    def __init__(self, of: str = "", counters: Sequence[Counter] = ()):
        self.of = of if counters else ""
        self._counters = counters
        self._before: list[float] = []
        self.joules: float | None = 0.0 if counters else None

    def start(self) -> None:
        try:
            self._before = [counter.read() for counter in self._counters]
        except (OSError, ValueError):
            self.joules = None

    def stop(self) -> None:
        if self.joules is None:
            return
        try:
            self.joules += sum(c.since(before) for c, before in zip(self._counters, self._before, strict=True))
        except (OSError, ValueError):
            self.joules = None

    def go_on(self, joules: float | None) -> None:
        """Count on from what a checkpoint says; it says None where it was trained on a device that reports none."""
        self.joules = joules if self._counters else None

    def cost(self) -> dict[str, float | str]:
        """Its part of a trial's cost; nothing where nothing is known."""
        return {} if self.joules is None else {"energy_joules": self.joules, "energy_of": self.of}


def meter(device: torch.device, processes: int = 1) -> Meter:
    """The meter of a training on `device`; several processes have a GPU each, from the first on."""
    if device.type != "cuda":
        return Meter(CPU, packages())
    several = range(min(processes, torch.cuda.device_count()))
    own = torch.cuda.current_device() if device.index is None else device.index
    numbers = several if processes > 1 else [own]
    found = [gpu(str(torch.cuda.get_device_properties(number).uuid)) for number in numbers]
    return Meter(GPU, [counter for counter in found if counter] if all(found) else ())


def packages() -> list[Counter]:
    """The CPU packages that powercap counts; none where it is not there, or not ours to read (root's alone by default)."""
    found = []
    for path in sorted(POWERCAP.glob("intel-rapl:*")):  # of AMD's processors too
        try:
            if path.name.count(":") == 1 and (path / "name").read_text().startswith("package"):
                counter = Counter(partial(_micro, path / "energy_uj"), _micro(path / "max_energy_range_uj"))
                counter.read()
                found.append(counter)
        except (OSError, ValueError):
            return []  # a part would be taken for the whole
    return found


def _micro(path: Path) -> float:
    return int(path.read_text()) / 1e6


def gpu(uuid: str) -> Counter | None:
    """The energy of a GPU since its driver was loaded; None where NVML is not there, or does not tell (before Volta, MIG)."""
    library, handle, reached = _nvml(), ctypes.c_void_p(), ctypes.c_ulonglong()
    if library is None or library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode(), ctypes.byref(handle)):
        return None

    def read() -> float:
        if code := library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(reached)):
            raise OSError(f"NVML answers {code}")
        return reached.value / 1e3

    try:
        read()
    except OSError:
        return None
    return Counter(read)


@lru_cache(maxsize=1)
def _nvml() -> ctypes.CDLL | None:
    """The driver's own library, begun; None where there is none."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    return None if library.nvmlInit_v2() else library
