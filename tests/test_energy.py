"""The energy of a training: against counters that are made up, since few machines let everybody read theirs."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from test_train import IMAGES, LABELS, start

from bench import energy, fusion, trial
from bench.energy import Counter, Meter
from bench.plain import Options, Trial
from bench.record import Record


def write(folder, name, micro, most=262_143_000_000):
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (("name", name), ("energy_uj", micro), ("max_energy_range_uj", most)):
        (folder / file).write_text(f"{text}\n")


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """Two packages; the first has a zone for its cores, the machine one for its whole board."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    write(tmp_path / "intel-rapl:0", "package-0", 5_000_000)
    write(tmp_path / "intel-rapl:0:0", "core", 4_000_000)
    write(tmp_path / "intel-rapl:1", "package-1", 7_000_000)
    write(tmp_path / "intel-rapl:2", "psys", 90_000_000)
    return tmp_path


def test_packages_are_added_up_and_their_parts_are_not(powercap):
    meter = energy.meter(torch.device("cpu"))
    meter.start()
    for name, micro in (("intel-rapl:0", 6_500_000), ("intel-rapl:0:0", 6_000_000), ("intel-rapl:1", 9_000_000)):
        (powercap / name / "energy_uj").write_text(str(micro))
    meter.stop()
    assert meter.cost() == {"energy_joules": pytest.approx(3.5), "energy_of": "whole CPU package (RAPL)"}


def test_a_counter_that_starts_again_is_followed():
    stands = iter([90.0, 5.0])
    meter = Meter("it", [Counter(lambda: next(stands), wraps=100.0)])
    meter.start()
    meter.stop()
    assert meter.joules == 15.0


def test_a_package_that_is_not_ours_to_read_is_not_reported(powercap):
    (powercap / "intel-rapl:1" / "energy_uj").chmod(0)
    if os.access(powercap / "intel-rapl:1" / "energy_uj", os.R_OK):  # as root
        (powercap / "intel-rapl:1" / "energy_uj").unlink()
    assert energy.meter(torch.device("cpu")).cost() == {}, "one of two packages is no figure of the whole"


def test_a_counter_that_goes_away_leaves_no_figure():
    def read():
        raise OSError

    meter = Meter("it", [Counter(read)])
    meter.start()
    meter.stop()
    assert meter.cost() == {}


def nvml(joules, handle=0, told=0):
    """A library whose GPU stands at `joules` in turn; the codes that its two calls answer."""

    def reach(device, reached):
        reached._obj.value = int(1000 * next(joules)) if not told else 0
        return told

    return SimpleNamespace(
        nvmlDeviceGetHandleByUUID=lambda uuid, device: handle, nvmlDeviceGetTotalEnergyConsumption=reach
    )


def test_a_gpu_is_read_through_nvml(monkeypatch):
    monkeypatch.setattr(energy, "_nvml", lambda: nvml(iter([10.0, 10.0, 14.5])))
    counter = energy.gpu("1-2-3")
    meter = Meter(energy.GPU, [counter])
    meter.start()
    meter.stop()
    assert meter.cost() == {"energy_joules": pytest.approx(4.5), "energy_of": "whole GPU (NVML)"}


@pytest.mark.parametrize("library", [None, nvml(iter(()), handle=6), nvml(iter(()), told=3)])
def test_without_nvml_or_before_volta_no_energy_is_reported(library, monkeypatch):
    monkeypatch.setattr(energy, "_nvml", lambda: library)
    assert energy.gpu("1-2-3") is None


def ticking(monkeypatch):
    """A machine whose counter moves on by one joule whenever it is read."""
    stands = iter(map(float, range(10**6)))
    monkeypatch.setattr(energy, "meter", lambda *_: Meter("it", [Counter(lambda: next(stands))]))


def test_a_training_counts_its_epochs_over_interruptions(monkeypatch):
    ticking(monkeypatch)
    first = start()
    first.run_epoch(IMAGES, LABELS)
    state = first.state()
    resumed = start()
    resumed.restore(state)
    resumed.run_epoch(IMAGES, LABELS)
    assert (first.energy.joules, resumed.energy.joules) == (1.0, 2.0)
    resumed.restore({key: value for key, value in state.items() if key != "joules"})  # a checkpoint of before
    resumed.run_epoch(IMAGES, LABELS)
    assert resumed.energy.cost() == {}


def test_the_trial_records_it_where_there_is_one(monkeypatch):
    tiny = Trial(data=Options(name="digits"), backbone_options=Options(widths=[4, 4, 4, 4]), epochs=1, image_size=16)
    tiny = replace(tiny, channels=1)
    monkeypatch.setattr(energy, "POWERCAP", energy.POWERCAP / "nothing here")
    assert not [key for key in list(trial.run(tiny))[-1].cost if key.startswith("energy")]
    ticking(monkeypatch)
    assert list(trial.run(tiny))[-1].cost["energy_joules"] == 1.0


def test_an_ensemble_takes_what_all_its_networks_took_if_that_is_known(tmp_path):
    plain = {"train_seconds": 1.0, "parameters": 10, "epochs": 2}
    one, two = ({**plain, "energy_joules": joules, "energy_of": "GPU"} for joules in (3.0, 4.0))
    members = [Record(Trial(), tmp_path, "finished", cost=cost) for cost in (one, two, plain)]
    assert fusion._cost(members[:2])["energy_joules"] == 7.0
    assert "energy_joules" not in fusion._cost(members)
