"""The margin losses as their papers write them: loops, angles by acos, float64; what the fast code is compared with."""

import math

import numpy as np
from made_up_batches import batch, make


def far_batch():
    """Five embeddings, two of them on the far side of their class, where the margins fold."""
    x, y = (part[:5].clone() for part in batch())
    weight = make("nsl").weight.detach().double()
    x[0] = -weight[y[0]] + 0.1 * x[0]
    x[1] = -weight[y[1]] + 0.5 * x[1]
    return x, y


def cosine(a, b):
    dot = math.fsum(p * q for p, q in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(p * p for p in a)) / math.sqrt(math.fsum(q * q for q in b))


def length(a):
    return math.sqrt(math.fsum(p * p for p in a))


def psi(theta, m):
    """(-1)^k cos(m theta) - 2k, theta in [k pi/m, (k + 1) pi/m], k in 0..m-1."""
    k = min(math.floor(theta * m / math.pi), m - 1)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def lmcl(x, weight, own, s, m):
    return [s * (cosine(x, w) - m * (j == own)) for j, w in enumerate(weight)]


def lmcl_without_normalised_features(x, weight, own, m):
    return [length(x) * (cosine(x, w) - m * (j == own)) for j, w in enumerate(weight)]


def arcface(x, weight, own, s, m):
    logits = [s * cosine(x, w) for w in weight]
    theta = math.acos(cosine(x, weight[own]))
    inside = math.cos(theta) > math.cos(math.pi - m)
    logits[own] = s * (math.cos(theta + m) if inside else math.cos(theta) - m * math.sin(math.pi - m))
    return logits


def combined(x, weight, own, s, m1, m2, m3):
    logits = [s * cosine(x, w) for w in weight]
    phi = m1 * math.acos(cosine(x, weight[own])) + m2
    k = math.floor(phi / math.pi)
    logits[own] = s * ((-1) ** k * math.cos(phi) - 2 * k - m3)
    return logits


def asoftmax(x, weight, own, m, mixed, size=None):
    """`mixed`: lambda; `size`: the length that x is normalised to, None: its own."""
    size = length(x) if size is None else size
    logits = [size * cosine(x, w) for w in weight]
    marked = size * psi(math.acos(cosine(x, weight[own])), m)
    logits[own] = (mixed * logits[own] + marked) / (1 + mixed)
    return logits


def lsoftmax(x, weight, own, m, mixed):
    logits = [length(w) * length(x) * cosine(x, w) for w in weight]
    marked = length(weight[own]) * length(x) * psi(math.acos(cosine(x, weight[own])), m)
    logits[own] = (mixed * logits[own] + marked) / (1 + mixed)
    return logits


def loss(x, y, weight, scores, **hyper):
    """The mean over the batch of -log of the own class's share."""
    total = 0.0
    for i in range(len(x)):
        logits = scores(x[i], weight, y[i], **hyper)
        total -= logits[y[i]] - math.log(math.fsum(math.exp(v) for v in logits))
    return total / len(x)


def slope(function, point, step=1e-6):
    """The gradient of `function(point)` by central differences, one coordinate at a time."""
    gradient = np.zeros_like(point)
    for at in np.ndindex(point.shape):
        ends = []
        for sign in (1, -1):
            moved = point.copy()
            moved[at] += sign * step
            ends.append(function(moved))
        gradient[at] = (ends[0] - ends[1]) / (2 * step)
    return gradient


def released_gradient(x, y, weight, m, mixed):
    """dL/dx and dL/dW (rows of length 1) as wy1iu/sphereface's layer has them, polynomial by polynomial."""
    to_x, to_weight = np.zeros_like(x), np.zeros_like(weight)
    for i in range(len(x)):
        logits = asoftmax(x[i], weight, y[i], m, mixed)
        total = math.fsum(math.exp(v) for v in logits)
        for j, w in enumerate(weight):
            above = (math.exp(logits[j]) / total - (j == y[i])) / len(x)
            to_weight[j] += above * x[i]
            direction = w
            if j == y[i] and m > 1:
                a, b = _coefficients(cosine(x[i], w), m, length(x[i]))
                direction = (mixed * w + (a * w + b * x[i]) / math.sqrt(a * a + b * b)) / (1 + mixed)
            to_x[i] += above * direction
    return to_x, to_weight


def _coefficients(c, m, size):
    """d(||x|| psi)/dx = a w + b x, from psi = sign * polynomial(c) - 2k."""
    k = min(math.floor(math.acos(c) * m / math.pi), m - 1)
    sign = (-1) ** k
    polynomial = {2: 2 * c**2 - 1, 3: 4 * c**3 - 3 * c, 4: 8 * c**4 - 8 * c**2 + 1}[m]
    derivative = {2: 4 * c, 3: 12 * c**2 - 3, 4: 32 * c**3 - 16 * c}[m]
    return sign * derivative, (sign * polynomial - 2 * k - c * sign * derivative) / size
