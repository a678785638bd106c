from __future__ import annotations

from pathlib import Path

from edged.device import device_facts, device_name, has_dot_product


def tree(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_a_raspberry_pi(tmp_path: Path) -> None:
    core = "processor\t: {}\nBogoMIPS\t: 108.00\nCPU part\t: 0xd08\n\n"
    tree(tmp_path / "proc/device-tree", model="Raspberry Pi 4 Model B Rev 1.4\0")
    tree(tmp_path / "proc", cpuinfo=core.format(0) + core.format(1) + "Serial\t: 10000000aa\n")
    tree(tmp_path / "sys/devices/system/cpu/cpufreq/policy0", cpuinfo_max_freq="1800000\n")
    facts = device_facts(tmp_path, cores=4)
    assert facts.pop("machine")
    assert facts == {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "processor": "0xd08",
        "cores": "4",
        "highest_mhz": "1800",
    }
    assert device_name(tmp_path) == "Raspberry Pi 4 Model B Rev 1.4"


def test_a_pc_with_cores_of_two_kinds(tmp_path: Path) -> None:
    tree(tmp_path / "proc", cpuinfo="model name\t: Some CPU @ 2 GHz\n" * 2)
    cpufreq = tmp_path / "sys/devices/system/cpu/cpufreq"
    tree(cpufreq / "policy0", cpuinfo_max_freq="2000000\n")
    tree(cpufreq / "policy4", cpuinfo_max_freq="3500000\n")
    facts = device_facts(tmp_path, cores=8)
    assert (facts["processor"], facts["highest_mhz"]) == ("Some CPU @ 2 GHz", "3500")
    assert "model" not in facts
    assert device_name(tmp_path) == "Some CPU @ 2 GHz"


def test_a_device_that_tells_nothing_and_this_one(tmp_path: Path) -> None:
    assert set(device_facts(tmp_path)) == {"machine", "cores"}
    assert device_name(tmp_path)
    assert int(device_facts()["cores"]) >= 1


def test_whether_it_multiplies_8_bit_integers_in_one_instruction(tmp_path: Path) -> None:
    assert has_dot_product(tmp_path) is None
    for features, expected in ("fp asimd crc32", False), ("fp asimdhp asimddp", True):
        tree(tmp_path / "proc", cpuinfo=f"processor\t: 0\nFeatures\t: {features}\n")
        assert has_dot_product(tmp_path) is expected
