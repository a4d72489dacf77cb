"""False alarms of the rule of thumb PSI > 0.1 where nothing has changed, by rows and bins."""

import numpy as np
from benchmarks.report import table

from tidegate.statistics.distance import psi, psi_noise, psi_tolerance_to_eps, shares
from tidegate.statistics.drift import DriftDetector, alarm_threshold

SEED = 20261121
BOUND = 0.1
WINDOWS = 20  # between false alarms, as for a test at 5 %
SIZES = (50, 100, 200, 500, 1000)
# iyipada 0.1.0 on PyPI, the false alarms of its documents, in per cent; the rest is not given.
PUBLISHED = {
    5: (64.3, 29.5, 4.1, None, None),
    10: (98.2, 85.1, 37.0, 0.3, 0.0),
    20: (None, None, 96.0, 17.6, None),
}


def psi_table(pairs: int) -> str:
    rng = np.random.default_rng(SEED)
    rows = []
    for bins, published in PUBLISHED.items():
        thumb, ours = [], []
        for n, told in zip(SIZES, published, strict=True):
            even = np.full(bins, 1 / bins)
            now, reference = (rng.multinomial(n, even, pairs) for _ in range(2))
            distance = psi(now, reference)
            alarms = 100 * np.mean(distance > BOUND)
            thumb.append(f"{alarms:.1f}" + ("" if told is None else f" ({told:.1f})"))
            eps = psi_tolerance_to_eps(BOUND)
            detector = DriftDetector(bins, eps, special=0, lead=(pairs,), n_ref=n)
            detector.update(now, shares(reference))
            proven = detector.log_m() >= alarm_threshold(1, WINDOWS)
            far = distance - psi_noise(n, n, bins) >= BOUND
            ours.append(f"{100 * np.mean(far & proven):.1f}")
        rows += [[f"PSI > {BOUND}, {bins} bins", *thumb], [f"**Tidegate, {bins} bins**", *ours]]
    return table(["false alarms, %", *(f"n = {n:,}" for n in SIZES)], rows)
