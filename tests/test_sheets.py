"""The contact sheets that a sweep leaves for its report."""

import numpy as np
from PIL import Image

from sweeps import reading, sheets

STUDY = """
name: tiny
data: {name: digits}
channels: 1
backbones: [cnn4]
losses: [softmax]
tune: {trials: 1, epochs: 1}
confirm: {seeds: 1, epochs: 1}
protocols:
  - {name: heldout, data: {name: digits}}
"""


def test_a_sheet_of_the_training_set_and_of_each_protocol(tmp_path):
    study = reading.parse(STUDY, "tiny.yaml")
    sheets.draw(study, tmp_path)
    drawn = {path.name: path for path in (tmp_path / sheets.FOLDER).glob("*.png")}
    assert set(drawn) == {"training.png", "test heldout.png"}
    with Image.open(drawn["training.png"]) as training, Image.open(drawn["test heldout.png"]) as test:
        assert training.size == (10 * 66 - 2, 7 * 66 - 2)  # seven digits to train on
        assert test.size == (10 * 66 - 2, 3 * 66 - 2)  # three others to be tested on
        assert np.asarray(training).std() > 20


def test_a_sheet_that_is_there_is_left(tmp_path):
    study = reading.parse(STUDY, "tiny.yaml")
    sheets.draw(study, tmp_path)
    path = tmp_path / sheets.FOLDER / "training.png"
    path.write_bytes(b"as it was")
    sheets.draw(study, tmp_path)
    assert path.read_bytes() == b"as it was"
