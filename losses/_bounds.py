"""The bounds on the scale and the margin of a cosine loss (Wang et al. 2018, Sec. 3.3). Plain numbers, no torch."""

import math


def scale_lower_bound(num_classes: int, posterior: float, margin: float = 0.0) -> float:
    """The least s at which every class centre can have the posterior P_W (Wang et al. 2018, eq. 6).

    s >= ln( (C - 1) P_W / (1 - P_W) ) / ( C / (C - 1) - m )

    With m = 0 it is the paper's equation; the margin is ours, by the same proof with cos - m in the target's place. It is
    reached by the weights of a simplex (all angles equal), which needs C <= D + 1; other weights need more.

    Args:
        num_classes: C >= 2.
        posterior: P_W, the probability of its own class that each class centre shall have at least; 1/C < P_W < 1.
        margin: m, in units of the cosine; 0 <= m < C / (C - 1).

    Raises:
        ValueError: a value out of its range.
    """
    _whole("num_classes", num_classes, 2)
    if not 1 / num_classes < posterior < 1:
        raise ValueError(f"posterior must be between 1/num_classes = {1 / num_classes:.6g} and 1, got {posterior}")
    widest = num_classes / (num_classes - 1)
    if not 0 <= margin < widest:
        raise ValueError(f"margin must be >= 0 and < num_classes / (num_classes - 1) = {widest:.6g}, got {margin}")
    return math.log((num_classes - 1) * posterior / (1 - posterior)) / (widest - margin)


def margin_upper_bound(num_classes: int, embedding_dim: int) -> float:
    """The largest m at which cos_y - max_j cos_j >= m can hold for a sample of each class (Wang et al. 2018, eq. 7).

    D = 2:            m <= 1 - cos(2 pi / C)
    C <= D + 1:       m <= C / (C - 1)
    C > D + 1, D > 2: m <= 1  (the paper only says "far below C / (C - 1)"; attained for C <= 2 D)

    The last line is Rankin's bound for features at their weights, and holds for any features: by Radon's theorem some p is
    in the hulls of two disjoint sets of weights, so m <= x_i . (W_i - p) for a class i, hence m^2 <= 1 - ||p||^2.
    On a line (D = 1) three classes have two weights between them, so m <= 0.

    Args:
        num_classes: C >= 2.
        embedding_dim: D >= 1 (the paper's K).

    Raises:
        ValueError: a value out of its range.
    """
    _whole("num_classes", num_classes, 2)
    _whole("embedding_dim", embedding_dim, 1)
    if embedding_dim == 2:
        return 1 - math.cos(2 * math.pi / num_classes)
    if num_classes <= embedding_dim + 1:
        return num_classes / (num_classes - 1)
    return 1.0 if embedding_dim > 1 else 0.0


def violation(num_classes: int, embedding_dim: int, margin: float, scale: float | None, posterior: float = 0.9) -> str:
    """The sentence that says which bound a setting violates, or "".

    Args:
        scale: s; None where the embeddings are not normalised, so that there is no s.
        posterior: P_W, to which the bound on s refers.
    """
    highest = margin_upper_bound(num_classes, embedding_dim)
    sizes = f"{num_classes} classes in {embedding_dim} dimensions"
    if margin > highest:
        return (
            f"margin {margin:g} is above {highest:.4g}, the largest that {sizes} can satisfy (Wang et al. 2018, eq. 7)"
        )
    if scale is None or margin >= num_classes / (num_classes - 1):
        return ""
    lowest = scale_lower_bound(num_classes, posterior, margin)
    if scale < lowest:
        return (
            f"scale {scale:g} is below {lowest:.4g}: with {num_classes} classes and margin {margin:g} no smaller one lets "
            f"every class reach the posterior {posterior:g} (Wang et al. 2018, eq. 6)"
        )
    return ""


def _whole(name: str, value: int, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")
