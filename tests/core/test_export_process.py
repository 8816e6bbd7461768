"""The check as it is: the exported files are loaded in a process of its own, which may fail."""

import exports


def test_a_sound_export_and_one_that_cannot_be_loaded(tmp_path, capsys):
    run, out = exports.trained(tmp_path / "project"), tmp_path / "out"
    assert exports.export(run, "--to", "adapter", "--out", str(out), "--json") == 0
    assert exports.told(capsys)["parity"]["agrees"]
    (out / "adapter_config.json").write_text("{")
    assert exports.export(run, "--check", str(out), "--json") == 3
    found = exports.told(capsys)
    assert found["cause"] == "it cannot be loaded" and "Error" in found["first"]
    assert "Traceback" not in found["says"]
