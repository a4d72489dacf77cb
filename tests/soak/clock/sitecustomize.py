"""A wall clock that can be set while a process runs: `PYTHONPATH` leads Python here at its start.

The sidecar's two processes read `time.time` and nothing else to stamp and to close slots. The
number of seconds by which their node's clock is wrong stands in a file that both have mapped.
"""

import mmap
import os
import struct
import time

_true_time = time.time

with open(os.environ["TIDEGATE_SOAK_CLOCK"], "rb") as file:
    _error_seconds = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)


def _wrong_time() -> float:
    (error,) = struct.unpack_from("<d", _error_seconds)
    return _true_time() + float(error)


time.time = _wrong_time
