"""Where a trial computes, and in which precision."""

import contextlib
from dataclasses import dataclass

import torch

from bench.errors import RequestError

PRECISIONS = ("auto", "bf16", "float32")


@dataclass(frozen=True)
class Device:
    """`autocast()` is the context of the network's forward pass; losses compute outside of it, in float32."""

    device: torch.device
    bf16: bool

    def autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    @property
    def name(self) -> str:
        """What the record says: the accelerator's name, or the processor."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"cpu, {torch.get_num_threads()} thread(s)"

    def forget_peak(self) -> None:
        """Count the accelerator's peak from here (another trial may have run in this process)."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory_mb(self) -> float:
        """The most memory held so far: on the accelerator, or of this process (which several trials may share)."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

    def load(self) -> dict[str, float]:
        """How busy this machine and its accelerator are, whoever makes them so, by MLflow's names and in its units
        (percent, MB of 1e6 bytes): the processors since the last call, memory now."""
        import psutil

        memory = psutil.virtual_memory()
        found = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / 1e6,
            "system_memory_usage_percentage": 100 * memory.used / memory.total,
        }
        if self.device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self.device)
            name = f"gpu_{self.device.index or 0}_memory_usage"
            found |= {f"{name}_megabytes": (total - free) / 1e6, f"{name}_percentage": 100 * (total - free) / total}
        return {key: round(value, 1) for key, value in found.items()}


def choose(precision: str, number: int | None = None) -> Device:
    """The accelerator where there is one, else the CPU; with `auto`, bf16 where the hardware multiplies in it.

    Args:
        number: which of several accelerators; None: the current one.

    Raises:
        RequestError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise RequestError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda" and number is not None:
        device = torch.device("cuda", number)
    if precision != "auto":
        return Device(device, precision == "bf16")
    if device.type == "cuda":
        return Device(device, torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return Device(device, any(getattr(torch.cpu, probe, bool)() for probe in probes))
