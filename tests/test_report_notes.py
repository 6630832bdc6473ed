"""Numbered notes, and what is said of many runs with counts of their own."""

import numpy as np

from reports import _rows, _tables
from reports._notes import Notes
from reports._sample import Sample


def test_a_text_keeps_its_number():
    notes = Notes()
    assert [notes.numbers(["a", "b"]), notes.numbers(["c", "a"]), notes.numbers([])] == [[1, 2], [1, 3], []]
    assert notes.texts() == ["a", "b", "c"]


def test_notes_that_differ_in_counts_alone_are_one_with_the_counts_range():
    notes, said = Notes(), "hangs on {} false accepts (FAR 1e-03 of {} impostor pairs)."
    runs = [said.format(*counts) for counts in [(29, "2,994"), (2, "999"), (9, "1,002,994")]]
    assert notes.numbers(runs[:2], alike=True) == notes.numbers(runs[2:], alike=True) == [1]
    assert notes.texts() == [said.format("2 to 29", "999 to 1,002,994")]


def test_other_rates_are_other_notes():
    notes = Notes()
    said = [
        "FAR 1e-03 of 9 pairs",
        "FAR 1e-02 of 9 pairs",
        "a rate of 0.1, that of 9 pairs",
        "a rate of 0.2, that of 9 pairs",
    ]
    assert notes.numbers(said, alike=True) == [1, 2, 3, 4] and notes.texts() == said


def test_counts_stay_apart_where_they_are_not_alike():
    notes, said = Notes(), ["296 of 540 names", "297 of 540 names"]
    assert notes.numbers(said) == [1, 2] and notes.texts() == said
    assert notes.numbers(["298 of 540 names", "299 of 540 names"], alike=True) == [3]
    assert notes.texts()[2] == "298 to 299 of 540 names"


def test_a_marked_figure_says_so_in_the_markdown_too():
    sample = Sample("softmax", "ytf/auc", "x", "folds", np.array([0.5, 0.6]), np.zeros((2, 0)))
    notes = Notes()
    cells = [_rows.Cell(sample, marks=("partial",)), _rows.Cell(sample), _rows.Cell(sample, marks=("few", "partial"))]
    shown = [_tables._with_marks(cell, notes) for cell in [*cells, _rows.Cell(None, "none")]]
    assert [text.partition(" (")[2] for text in shown] == ["1)", "", "1) (2)", ""] and notes.texts() == [
        "partial",
        "few",
    ]
