"""The sound input that each kind of fixture is measured against: the same command, the same kind of file."""

import shutil
from collections.abc import Callable
from pathlib import Path

from event_files import scalar, version
from malicious import Fixture
from malicious_data import ROW
from malicious_others import own_run


def harmless(fixture: Fixture) -> Callable[[Path], object]:
    if fixture.kind == "data":
        return lambda project: _write_rows(project / fixture.command[2])
    if fixture.kind == "import" and fixture.command[0] == "recipe":
        return lambda project: (project / fixture.command[2]).write_text(
            "base_model: a/b\nadapter: lora\ndatasets:\n- path: c/d\n  type: alpaca\n"
        )
    if fixture.kind == "import":
        return _event_run
    if fixture.kind == "run directory":
        return own_run(lambda root: None)
    return lambda project: None


def _write_rows(path: Path) -> None:
    if path.suffix == ".csv":
        path.write_text("prompt,completion\na,b\n")
    elif path.suffix == ".json":
        path.write_bytes(b"[" + ROW.strip() + b"]")
    elif path.suffix in (".parquet", ".arrow"):
        import pyarrow
        from pyarrow import ipc, parquet

        table = pyarrow.table({"prompt": ["a"], "completion": ["b"]})
        if path.suffix == ".parquet":
            parquet.write_table(table, path)
        else:
            with ipc.new_stream(str(path), table.schema) as writer:
                writer.write_table(table)
    else:
        path.write_bytes(ROW)


def _event_run(project: Path) -> None:
    folder = project / "runs" / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "events.out.tfevents.1").write_bytes(version() + scalar(1, "train/loss", 2.0))
