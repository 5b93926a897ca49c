"""What workers call a GPU is what the driver's library and torch call it, too."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from app.gateways.gpus import VISIBLE, visible_gpus
from workers.devices import process_tree, read_gpu

pytestmark = pytest.mark.gpu
SEEN = "import torch; print(torch.cuda.device_count(), torch.cuda.get_device_properties(0).uuid)"


def test_a_child_with_a_gpus_uuid_sees_that_one_alone() -> None:
    gpu = visible_gpus()[-1]
    done = subprocess.run([sys.executable, "-c", SEEN], env=os.environ | {VISIBLE: gpu.uuid}, capture_output=True, text=True, check=True)
    count, uuid = done.stdout.split()
    assert (count, uuid) == ("1", gpu.uuid.partition("-")[2])


def test_the_memory_of_every_gpu_is_told() -> None:
    for gpu in visible_gpus():
        device = read_gpu(gpu.uuid, process_tree())
        assert device is not None
        assert device.total_bytes > device.used_bytes > 0


def test_a_whole_gpu_tells_how_warm_it_is_and_what_it_draws() -> None:
    whole = [gpu for gpu in visible_gpus() if gpu.uuid.startswith("GPU-")]
    if not whole:
        pytest.skip("only parts of GPUs are here, of which a driver does not say")
    device = read_gpu(whole[0].uuid, process_tree())
    assert device is not None
    assert 0 < (device.temperature_c or 0) < 120
    assert 0 < (device.power_watts or 0) <= 1.2 * (device.power_limit_watts or 0)
