"""Made-up pictures whose landmarks are known: a bright blot at each."""

import numpy as np

from bench.alignment import TEMPLATE

PEOPLE = ("Ann/1.jpg", "Ann/2.jpg", "Bob/deep/1.jpg")


def drawn(points, side=200):
    """A picture with a bright blot at each of the points."""
    y, x = np.mgrid[:side, :side]
    blots = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18) for px, py in points]
    return np.stack([200 * sum(blots).clip(0, 1)] * 3, 2).astype(np.uint8)


def turned(scale, degrees, shift):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * (TEMPLATE - 56) @ turn.T + shift


POINTS = {name: turned(0.9 + 0.1 * k, 15 * k - 10, (100 + 3 * k, 96)) for k, name in enumerate(PEOPLE)}


def listed(points, path):
    rows = [",".join([name, *(f"{value:.4f}" for value in np.ravel(five))]) for name, five in points.items()]
    path.write_text("path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n" + "\n".join(rows) + "\n")
    return path


def peak(channel, point):
    """The brightest place within six pixels of a point."""
    x, y = (round(value) for value in point)
    window = channel[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7].astype(float)
    window = (window - window.max() * 0.6).clip(0)
    rows, columns = np.mgrid[: window.shape[0], : window.shape[1]]
    place = np.array([(columns * window).sum(), (rows * window).sum()]) / window.sum()
    return place + np.array([max(0, x - 6), max(0, y - 6)])
