"""Decision statistics that stay valid however often one looks at them."""

from tidegate.statistics.bins import BinsTest
from tidegate.statistics.combine import combine, e_bh
from tidegate.statistics.difference import DifferenceTest
from tidegate.statistics.dispersion import Dispersion
from tidegate.statistics.distance import (
    jensen_shannon,
    jensen_shannon_noise,
    js_tolerance_to_eps,
    kolmogorov_smirnov,
    psi,
    psi_interval,
    psi_noise,
    psi_tolerance_to_eps,
    wasserstein,
)
from tidegate.statistics.drift import DriftDetector, RateDetector, alarm_threshold
from tidegate.statistics.latency import (
    bins_of_increase,
    decayed,
    increase_of_bins,
    latency_tables,
    quantile_bin,
)
from tidegate.statistics.mean import MeanTest
from tidegate.statistics.mixture import Mixture
from tidegate.statistics.quantile import QuantileShift
from tidegate.statistics.rate import RateTest
from tidegate.statistics.ratio import RatioTest, ratio_grid
from tidegate.statistics.shift import ShiftTest

__all__ = [
    "BinsTest",
    "DifferenceTest",
    "Dispersion",
    "DriftDetector",
    "MeanTest",
    "Mixture",
    "QuantileShift",
    "RateDetector",
    "RateTest",
    "RatioTest",
    "ShiftTest",
    "alarm_threshold",
    "bins_of_increase",
    "combine",
    "decayed",
    "e_bh",
    "increase_of_bins",
    "jensen_shannon",
    "jensen_shannon_noise",
    "js_tolerance_to_eps",
    "kolmogorov_smirnov",
    "latency_tables",
    "psi",
    "psi_interval",
    "psi_noise",
    "psi_tolerance_to_eps",
    "quantile_bin",
    "ratio_grid",
    "wasserstein",
]
