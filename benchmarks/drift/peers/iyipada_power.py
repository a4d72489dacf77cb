"""How often each statistic of iyipada, held to the same false alarms, finds a change."""

import sys

import numpy as np
from iyipada import null
from iyipada.divergence import STATISTICS

with np.load(sys.argv[1]) as given:
    windows = dict(given)
references, alpha = windows.pop("references"), float(windows.pop("alpha"))

answer = {}
for name, statistic in STATISTICS.items():
    bar = null.threshold(name, alpha, references.shape[1], references.shape[1])
    for kind, samples in windows.items():
        found = [statistic(*pair) > bar for pair in zip(references, samples, strict=True)]
        answer[f"{name}|{kind}"] = np.mean(found)
np.savez(sys.argv[2], allow_pickle=False, **answer)
