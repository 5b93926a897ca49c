"""What computers can do: memory, peak rate and power of GPUs, laptops and phones, by their data sheets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from app.domain.devices import Device

DeviceKind = Literal["gpu", "cpu", "phone", "laptop"]
Unit = Literal["cpu", "gpu"]
"""What of a device computes: its GPU, or the processor of anything else."""
Numbers = Literal["bf16", "fp32"]
"""What a run's products are computed in; held in float32 besides or not, adapters and masters change nothing of that."""
MIB = 2**20
TERA, GIGA = 1e12, 1e9
CORE_FLOPS, USUAL_CORES = 200 * GIGA, 2
"""Peak of one core of a processor nobody has measured: a current server's multiply at about as much (docs/engine.md). The range told beside
it is as wide as processors are apart; after the first run here the measured rate holds."""
CPU_WATTS = 65.0
"""A desktop processor's; a server's share for four cores is about the same."""
FLOPS_PER_BYTE = 3.6e12 / GIGA
"""Of GPUs that the table does not know: BF16 operations a second for each GB of memory, the median of the table's (3.6 TFLOP/s a GB)."""
FP32_OF_BF16 = 0.25
"""Of such a GPU's BF16 rate that it reaches in float32: the median of the table's too."""
PART = re.compile(r" MIG (?:(\d)c\.)?(\d)g\.")
"""How a part of a GPU is called: 1g.18gb is one of its slices with 18 GB, 1c.3g.71gb one slice of three that share a memory."""
SLICES, SLICES_OF = 7, {"a30": 4}
"""Into so many its units can be divided (NVIDIA Multi-Instance GPU User Guide)."""
HALF = 0.5
"""A processor, laptop or phone whose float32 rate nobody has measured multiplies numbers of twice the bytes half as fast."""


class Accelerator(NamedTuple):
    """What computes: its memory in bytes, peaks in operations a second, power in watts.

    The BF16 peak is the dense one, the float32 peak the one without tensor cores: torch leaves TF32 off, and so does Hone. A GPU that
    knows no BF16 computes in float32 what it is to compute in BF16, and both its peaks are the same.
    `is_exact` False: derived from its memory, since nobody knows the device.
    """

    key: str
    name: str
    kind: DeviceKind
    memory_bytes: int
    bf16_flops: float
    fp32_flops: float
    watts: float
    is_exact: bool = True

    @property
    def unit(self) -> Unit:
        """What of it computes a run."""
        return "gpu" if self.kind == "gpu" else "cpu"

    @property
    def knows_bf16(self) -> bool:
        """Whether it has units for BF16, so that a run that may choose computes in it."""
        return self.bf16_flops > self.fp32_flops

    def peak(self, numbers: Numbers) -> float:
        """Return how many operations a second it does at most."""
        return self.bf16_flops if numbers == "bf16" else self.fp32_flops


def _gpu(key: str, name: str, mib: int, tflops: float, fp32: float, watts: float) -> Accelerator:  # noqa: PLR0917 - a table's columns
    return Accelerator(key, name, "gpu", mib * MIB, tflops * TERA, fp32 * TERA, watts)


def _other(key: str, name: str, kind: DeviceKind, memory_gb: float, tflops: float, watts: float) -> Accelerator:  # noqa: PLR0917 - a table's columns
    return Accelerator(key, name, kind, round(memory_gb * GIGA), tflops * TERA, tflops * TERA * HALF, watts)


_TABLE = (
    # key, name, MiB as the driver reports it, dense BF16 TFLOP/s with FP32 sums, FP32 TFLOP/s without tensor cores, watts.
    _gpu("b200", "NVIDIA B200", 183_359, 2250, 75, 1000),
    _gpu("h200", "NVIDIA H200", 143_771, 989, 67, 700),
    _gpu("gh200", "NVIDIA GH200", 97_871, 989, 67, 900),
    _gpu("h100", "NVIDIA H100 80 GB", 81_559, 989, 67, 700),
    _gpu("h100_pcie", "NVIDIA H100 PCIe", 81_559, 756, 51, 350),
    _gpu("a100_80", "NVIDIA A100 80 GB", 81_920, 312, 19.5, 400),
    _gpu("a100_40", "NVIDIA A100 40 GB", 40_960, 312, 19.5, 400),
    _gpu("l40s", "NVIDIA L40S", 46_068, 362, 91.6, 350),
    _gpu("l40", "NVIDIA L40", 46_068, 181, 90.5, 300),
    _gpu("l4", "NVIDIA L4", 23_034, 121, 30.3, 72),
    _gpu("a10g", "NVIDIA A10G", 23_028, 70, 31.5, 150),
    _gpu("a10", "NVIDIA A10", 23_028, 125, 31.2, 150),
    _gpu("a40", "NVIDIA A40", 46_068, 150, 37.4, 300),
    _gpu("a30", "NVIDIA A30", 24_576, 165, 10.3, 165),
    _gpu("t4", "Tesla T4", 15_360, 8.1, 8.1, 70),
    _gpu("v100_32", "Tesla V100 32 GB", 32_768, 15.7, 15.7, 300),
    _gpu("v100_16", "Tesla V100 16 GB", 16_384, 15.7, 15.7, 300),
    _gpu("rtx_pro_6000", "NVIDIA RTX PRO 6000 Blackwell", 97_887, 504, 125, 600),
    _gpu("rtx_6000_ada", "NVIDIA RTX 6000 Ada", 49_140, 364, 91.1, 300),
    _gpu("rtx_a6000", "NVIDIA RTX A6000", 49_140, 155, 38.7, 300),
    _gpu("rtx_a5000", "NVIDIA RTX A5000", 24_564, 111, 27.8, 230),
    _gpu("rtx_5090", "NVIDIA GeForce RTX 5090", 32_607, 210, 104.8, 575),
    _gpu("rtx_4090", "NVIDIA GeForce RTX 4090", 24_564, 165, 82.6, 450),
    _gpu("rtx_4080", "NVIDIA GeForce RTX 4080", 16_376, 97, 48.7, 320),
    _gpu("rtx_4070", "NVIDIA GeForce RTX 4070", 12_282, 58, 29.1, 200),
    _gpu("rtx_4060_ti", "NVIDIA GeForce RTX 4060 Ti", 16_380, 44, 22.1, 165),
    _gpu("rtx_3090", "NVIDIA GeForce RTX 3090", 24_576, 71, 35.6, 350),
    _gpu("rtx_3080", "NVIDIA GeForce RTX 3080", 10_240, 60, 29.8, 320),
    _gpu("rtx_3060", "NVIDIA GeForce RTX 3060", 12_288, 26, 12.7, 170),
    _other("m4_pro", "Laptop with an M4 Pro, 24 GB", "laptop", 24, 17, 40),
    _other("laptop_16", "Laptop, 16 GB", "laptop", 16, 0.5, 28),
    _other("laptop_8", "Laptop, 8 GB", "laptop", 8, 0.3, 20),
    _other("phone_12", "Phone, 12 GB", "phone", 12, 2, 5),
    _other("phone_8", "Phone, 8 GB", "phone", 8, 2, 5),
    _other("phone_4", "Phone, 4 GB", "phone", 4, 0.5, 4),
)
ACCELERATORS: dict[str, Accelerator] = {each.key: each for each in _TABLE}
"""By the makers' data sheets; sparse peaks halved. Laptops and phones stand for their class, and their rates are of its order only."""
CPU = Accelerator("cpu", "Processor", "cpu", 0, USUAL_CORES * CORE_FLOPS, USUAL_CORES * CORE_FLOPS * HALF, CPU_WATTS, is_exact=False)
"""A processor that nobody knows; its memory is for who has asked the machine."""
RENTED = {"24gb": "rtx_3090", "a100_80": "a100_80", "h100": "h100"}
"""The classes that prices are known of, and the card each is taken to be; why the smallest is the slower one: docs/estimates.md."""


SUFFIXES = frozenset({"ti", "super", "laptop", "mobile", "max"})
"""Words after which a card of the same number is another card."""


def accelerator_named(name: str) -> Accelerator | None:
    """Return the GPU that a driver calls so, such as "NVIDIA H100 80GB HBM3"; None when the table has no such card."""
    said = {word.removesuffix("gb") for word in re.findall(r"[a-z0-9]+", name.lower())}
    found = [(set(each.key.split("_")), each) for each in _TABLE if each.kind == "gpu"]
    fitting = [(len(words), each) for words, each in found if words <= said and words & SUFFIXES == said & SUFFIXES]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def processor(cores: int, memory_bytes: int) -> Accelerator:
    """Return a processor of so many cores."""
    return CPU._replace(memory_bytes=memory_bytes, bf16_flops=cores * CORE_FLOPS, fp32_flops=cores * CORE_FLOPS * HALF)


def of_device(device: Device) -> Accelerator:
    """Return what a worker's device can do: by the table, for another GPU derived from its memory, for a processor by a usual one.

    Memory is what the device itself reports; of a GPU in parts that is the part's, and so are its units and its power here.
    """
    if device.kind == "cpu":
        cores = re.search(r"(\d+) cores", device.name)
        return processor(int(cores[1]) if cores else USUAL_CORES, device.total_bytes)._replace(name=device.name)
    known = accelerator_named(device.name)
    if known:
        return _part(known, device.name)._replace(name=device.name, memory_bytes=device.total_bytes)
    memory, rate = device.total_bytes, device.total_bytes * FLOPS_PER_BYTE
    return Accelerator("gpu", device.name, "gpu", memory, rate, rate * FP32_OF_BF16, 250.0, is_exact=False)


def _part(whole: Accelerator, name: str) -> Accelerator:
    """Return what the part of a GPU does that a name tells of; the whole where it tells of none."""
    found = PART.search(name)
    if found is None:
        return whole
    share = min(1.0, int(found[1] or found[2]) / SLICES_OF.get(whole.key, SLICES))
    return whole._replace(
        bf16_flops=whole.bf16_flops * share, fp32_flops=whole.fp32_flops * share, watts=whole.watts * share, is_exact=False
    )  # fmt: skip
