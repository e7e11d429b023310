"""Where and how a network computes, and with how many helpers: decided once, and handed on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

from bier.errors import ConfigError
from bier.system.processes import ALONE, Processes, processes_here

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "float32", "bfloat16"]

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Hardware:
    """What a job runs on."""

    device: torch.device = CPU
    precision: torch.dtype = torch.float32
    """Of the backbone: float32 or bfloat16. Losses and the head are always float32."""
    workers: int = 0
    """Processes that decode pictures; 0 decodes in this one."""
    channels_last: bool = True
    """Store pictures pixel by pixel, which is usually faster."""
    processes: Processes = ALONE
    """Those that share the work."""

    @classmethod
    def resolve(
        cls,
        device: DeviceName = "auto",
        precision: PrecisionName = "auto",
        workers: int | None = None,
        channels_last: bool = True,
        processes: Processes = ALONE,
        where: str = "device",
    ) -> Hardware:
        """What is asked for, or the best there is.

        Args:
            device: ``auto`` takes a GPU where there is one.
            precision: ``auto`` takes bfloat16 on a GPU that has it, and float32 elsewhere.
            workers: none given: one less than the cores of each process, at least 1 and at most 8.
            channels_last: see above.
            processes: see above.
            where: what the user calls the device, for the message.

        Raises:
            ConfigError: there is no such device here.
        """
        chosen = _device(device, where)
        low = precision == "bfloat16" or (precision == "auto" and _prefers_bfloat16(chosen))
        helpers = max(1, min(8, (os.cpu_count() or 1) // processes_here() - 1)) if workers is None else workers
        return cls(chosen, torch.bfloat16 if low else torch.float32, helpers, channels_last, processes)

    def refuse_slow(self, where: str) -> None:
        """Raise ConfigError for bfloat16 on a device that does not compute in it itself, asked for at ``where``."""
        if self.precision is torch.bfloat16 and not has_bfloat16(self.device):
            raise ConfigError(
                f"{self.device.type} does not compute in bfloat16 here, so it would be slower",
                where=where,
                remedy="leave it out: float32 is the default",
            )

    @property
    def precision_name(self) -> Literal["float32", "bfloat16"]:
        return "bfloat16" if self.precision is torch.bfloat16 else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself, so that it is faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    tests = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in ("amx_tile", "avx512_bf16"))
    return device.type == "cpu" and any(test is not None and test() for test in tests)


def extraction_precision(wanted: PrecisionName, device: torch.device) -> torch.dtype:
    """Of a network that only turns pictures into vectors: bfloat16 where it is faster, unless float32 is wanted."""
    return torch.bfloat16 if wanted != "float32" and has_bfloat16(device) else torch.float32


def _device(name: DeviceName, where: str) -> torch.device:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available[name]:
        raise ConfigError(f"no {name} device here", where=where, remedy="use 'auto' or 'cpu'")
    return torch.device(name)


def _prefers_bfloat16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
