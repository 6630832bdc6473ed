"""Figures of verification and identification with their spread: numpy in, numbers out, exact."""

from bench.metrics.folds import FoldAccuracy, best_threshold, fold_accuracy
from bench.metrics.gallery import Search, search
from bench.metrics.identification import Shares, cmc, macro_average
from bench.metrics.jackknife import jackknife_verification
from bench.metrics.spread import jackknife_mean, jackknife_pairs, pair_clusters, person_clusters
from bench.metrics.verification import Rate, Roc, Sorted, far_name, rate_at_far, tar_at_far

__all__ = [
    "FoldAccuracy",
    "Rate",
    "Roc",
    "Search",
    "Shares",
    "Sorted",
    "best_threshold",
    "cmc",
    "far_name",
    "fold_accuracy",
    "jackknife_mean",
    "jackknife_pairs",
    "jackknife_verification",
    "macro_average",
    "pair_clusters",
    "person_clusters",
    "rate_at_far",
    "search",
    "tar_at_far",
]
