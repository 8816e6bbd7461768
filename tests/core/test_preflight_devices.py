"""Which device a name means, and what this machine is."""

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.preflight import devices
from finetui_core.preflight.devices import find_device, listed_devices, this_machine

GIB = 2**30


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "ftui"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a100", "NVIDIA A100-SXM4-80GB"),
        ("A100 40GB", "NVIDIA A100-SXM4-40GB"),
        ("a100-40gb", "NVIDIA A100-SXM4-40GB"),
        ("rtx 4090", "NVIDIA GeForce RTX 4090"),
        ("RTX4090", "NVIDIA GeForce RTX 4090"),
        ("4090", "NVIDIA GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 3090"),
        ("h100", "NVIDIA H100 80GB HBM3"),
        ("h100 pcie", "NVIDIA H100 PCIe"),
        ("6000 ada", "NVIDIA RTX 6000 Ada Generation"),
        ("rtx pro 6000", "NVIDIA RTX PRO 6000 Blackwell"),
        ("v100 32gb", "Tesla V100-SXM2-32GB"),
        ("t4", "Tesla T4"),
    ],
)
def test_a_device_is_known_by_what_people_call_it(text: str, name: str) -> None:
    assert find_device(text).name == name


@pytest.mark.parametrize(("text", "size"), [("24GB", 24 * GIB), ("24 GiB", 24 * GIB), ("11.5g", 11.5 * GIB)])
def test_a_size_of_memory_is_a_device(text: str, size: float) -> None:
    device = find_device(text)
    assert (device.kind, device.memory, device.tflops) == ("cuda", size, None)


def test_an_unknown_device_offers_near_names_and_the_way_out() -> None:
    with pytest.raises(InputError) as error:
        find_device("rtx 4089")
    text = str(error.value)
    assert "4090" in text or "4080" in text
    assert "--devices" in text and "devices.toml" in text


def test_a_name_that_fits_several_devices_asks_which() -> None:
    with pytest.raises(InputError, match="several devices fit"):
        find_device("6000")


@given(st.text(max_size=40))
def test_any_text_is_a_device_or_one_clear_problem(text: str) -> None:
    try:
        assert find_device(text).memory >= 0
    except InputError as error:
        assert len(error.problems) == 1 and error.problems[0].hint
        assert "\x1b" not in str(error)


def test_every_row_that_ships_has_a_source_and_figures() -> None:
    for one in listed_devices():
        device = one.device
        assert device.source and device.tflops and device.bandwidth and device.watts
        assert 8 * GIB < device.memory < 300 * GIB
        assert one.as_of is not None and one.as_of >= datetime.date(2026, 11, 1)
        assert all(find_device(name) == device for name in (device.name, *one.aliases))


def test_rows_of_the_user_come_first_and_replace(own_settings: Path) -> None:
    (own_settings / "devices.toml").write_text(
        '[[device]]\nname = "NVIDIA L4"\naliases = ["l4"]\nmemory_mib = 20000\n'
        '[[device]]\nname = "My Card"\nmemory_mib = 1024\ntflops = 3.5\n'
    )
    assert find_device("l4").memory == 20_000 * 2**20
    assert find_device("my card").tflops == 3.5
    assert [one.device.name for one in listed_devices()].count("NVIDIA L4") == 1


def test_faults_of_the_users_table_have_line_and_column(own_settings: Path) -> None:
    (own_settings / "devices.toml").write_text(
        '[[device]]\nname = "X"\nmemory_mib = "much"\ntflop = 3\n\n[[device]]\nmemory_mib = 5\n'
    )
    with pytest.raises(InputError) as error:
        find_device("l4")
    wheres = [problem.where.rpartition("devices.toml")[2] for problem in error.value.problems]
    assert wheres == [":3:14", ":4:1", ":7:1"]
    assert 'did you mean "tflops"?' in str(error.value)


def test_the_first_gpu_of_this_machine_counts_what_others_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "version", lambda name: "2.13.0+cu130")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpu = {
        "index": 0,
        "uuid": "GPU-1",
        "name": "NVIDIA GeForce RTX 4090",
        "memory_total": 24 * GIB,
        "memory_used": 2 * GIB,
        "memory_reserved": GIB // 2,
        "power_limit": 320.0,
    }
    device = this_machine(lambda: ([gpu, {**gpu, "index": 1, "memory_used": 0}], None))
    assert (device.kind, device.used, device.tflops, device.watts) == ("cuda", 2.5 * GIB, 165.2, 320.0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    device = this_machine(lambda: ([gpu, {**gpu, "index": 1, "memory_used": 0}], None))
    assert device.used == 0.5 * GIB
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert this_machine(lambda: ([gpu], None)).kind == "cpu"


def test_without_a_gpu_the_processor_is_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "version", lambda name: "2.13.0+cu130")
    device = this_machine(lambda: ([], "no NVIDIA GPU"))
    assert device.kind == "cpu" and 0 < device.used < device.memory
