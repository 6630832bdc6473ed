"""Losses after the papers, as they are written there: plain loops over one sample, float64.

Each takes one sample: x (D,), its label, the weights (C, D), and x and the weights again as they were where the gradient
is taken. What the loss takes as a constant is computed from those, so that finite differences by x and the weights are
the loss's gradient.
"""

import math

import numpy as np
import torch


def cosine(a, b):
    return float(np.dot(a, b)) / math.sqrt(float(np.dot(a, a)) * float(np.dot(b, b)))


def cross_entropy(logits, label):
    return math.log(sum(math.exp(v - logits[label]) for v in logits))


def arc(c, margin):
    """cos(theta + m), and what stands in for it beyond pi."""
    theta = math.acos(c)
    return math.cos(theta + margin) if theta + margin < math.pi else c - margin * math.sin(margin)


def circle(x, label, weights, was_x, was_weights, *, scale, margin):
    logits = []
    for j in range(len(weights)):
        c, was = cosine(x, weights[j]), cosine(was_x, was_weights[j])
        if j == label:
            logits.append(scale * max(0.0, 1 + margin - was) * (c - (1 - margin)))
        else:
            logits.append(scale * max(0.0, was + margin) * (c - margin))
    return cross_entropy(logits, label)


def adaface(x, label, weights, was_x, _, *, scale, margin, concentration, mean, deviation):
    length = min(max(math.sqrt(float(np.dot(was_x, was_x))), 0.001), 100)
    q = min(max((length - mean) * concentration / (deviation + 0.001), -1), 1)
    logits = [scale * cosine(x, w) for w in weights]
    theta = min(max(math.acos(cosine(x, weights[label])) - margin * q, 0), math.pi)
    logits[label] = scale * (math.cos(theta) - (margin * q + margin))
    return cross_entropy(logits, label)


def magface(
    x, label, weights, *_, scale, margin_low, margin_high, length_low, length_high, length_weight
):  # fmt: skip
    a = min(max(math.sqrt(float(np.dot(x, x))), length_low), length_high)
    margin = margin_low + (margin_high - margin_low) / (length_high - length_low) * (a - length_low)
    logits = [scale * cosine(x, w) for w in weights]
    logits[label] = scale * arc(cosine(x, weights[label]), margin)
    return cross_entropy(logits, label) + length_weight * (1 / a + a / length_high**2)


def curricularface(x, label, weights, *_, scale, margin, curriculum):
    target = arc(cosine(x, weights[label]), margin)
    logits = []
    for j in range(len(weights)):
        c = cosine(x, weights[j])
        modulated = c if target >= c else c * (curriculum + c)
        logits.append(scale * (target if j == label else modulated))
    return cross_entropy(logits, label)


def sphereface2(
    x, label, weights, was_x, was_weights, *, scale, margin, positive_weight, adjustment, loss_weight, bias, straight
):  # fmt: skip
    total = 0.0
    for j in range(len(weights)):
        c, was = cosine(x, weights[j]), cosine(was_x, was_weights[j])
        adjusted = 2 * ((c + 1) / 2) ** adjustment - 1
        if straight:
            adjusted = 2 * ((was + 1) / 2) ** adjustment - 1 + c - was
        if j == label:
            total += positive_weight * math.log1p(math.exp(-scale * (adjusted - margin) - bias))
        else:
            total += (1 - positive_weight) * math.log1p(math.exp(scale * (adjusted + margin) + bias))
    return loss_weight / scale * total


def placed(criterion, state):
    """The criterion in float64 with its state set by hand."""
    criterion.double()
    with torch.no_grad():
        for key, value in state.items():
            criterion.state_dict()[key].fill_(value)
    return criterion
