"""A small made-up IJB release: 26 subjects, two galleries, probes, listed pairs, in the files of the real one."""

import numpy as np

SUBJECTS, PROBES = 26, 3  # 13 subjects a gallery; probe templates of each


def release(letter="x", kind="G", seed=0):
    """File name -> text. Template numbers have gaps, images of a template are scattered, media have 1 to 3 images."""
    random = np.random.default_rng(seed)
    gallery = {subject: 3 + 2 * subject for subject in range(SUBJECTS)}
    probes = {100 + 7 * n: n % SUBJECTS for n in range(SUBJECTS * PROBES)}
    owner = {number: subject for subject, number in gallery.items()} | probes
    lines = [
        (number, 1000 * number + medium)
        for number in owner
        for medium in range(1 + number % 3)
        for _ in range(1 + medium)
    ]
    lines = [lines[place] for place in random.permutation(len(lines))]
    names = [f"{n}.jpg" for n in range(1, len(lines) + 1)]
    pairs = [(gallery[subject], number, 1) for number, subject in probes.items()]
    pairs += [(g, p, 0) for s, g in gallery.items() for p, t in probes.items() if s != t and random.random() < 0.8]
    pairs = [pairs[place] for place in random.permutation(len(pairs))]
    points = [" ".join(f"{x:.3f}" for x in random.uniform(0, 112, 10)) for _ in names]
    start = f"ijb{letter}_"
    files = {
        "face_tid_mid.txt": [f"{name} {t} {m}" for name, (t, m) in zip(names, lines, strict=True)],
        "template_pair_label.txt": [f"{a} {b} {label}" for a, b, label in pairs],
        "name_5pts_score.txt": [
            f"{name} {point} {score:.3f}"
            for name, point, score in zip(names, points, random.uniform(0.1, 1, len(names)), strict=True)
        ],
        f"1N_gallery_{kind}1.csv": _csv({t: s for s, t in gallery.items() if s < SUBJECTS // 2}, lines),
        f"1N_gallery_{kind}2.csv": _csv({t: s for s, t in gallery.items() if s >= SUBJECTS // 2}, lines),
        "1N_probe_mixed.csv": _csv(probes, lines),
    }
    return {start + name: "\n".join(text) + "\n" for name, text in files.items()}


def _csv(owner, lines):
    """NIST's columns, a line an image; subjects have numbers of their own."""
    rows = [f"{t},{5000 + owner[t]},img/{m}.jpg,{m},1,2,30,40," for t, m in lines if t in owner]
    return ["TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,FRAME_NUM", *rows]
