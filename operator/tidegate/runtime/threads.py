"""How many threads the numeric libraries may use: the container's share, not the machine's."""

import os
from collections.abc import MutableMapping
from math import ceil
from pathlib import Path

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def limit_threads(environment: MutableMapping[str, str], threads: int) -> None:
    """Set what is not set yet; must run before numpy is imported."""
    for variable in VARIABLES:
        environment.setdefault(variable, str(threads))
    # /dev/shm of a container is small, and the root file system is read-only.
    environment.setdefault("JOBLIB_TEMP_FOLDER", environment.get("TMPDIR", "/tmp"))  # noqa: S108 - the pod's own emptyDir


def available_cpus(cpu_max: Path = CPU_MAX) -> int:
    """The CPUs that this container may use: by its cgroup's quota, or by the scheduler's mask."""
    mask = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text().split()
    except (OSError, ValueError):
        return mask
    return mask if quota == "max" else max(1, min(mask, ceil(int(quota) / int(period))))
