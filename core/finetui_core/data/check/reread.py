"""Any row of a scanned file again, for the rules that compare rows."""

import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from finetui_core.data.check.scan import Scan
from finetui_core.data.conversation import Row
from finetui_core.data.formats import Rejected, convert
from finetui_core.data.json_lines import BYTE_ORDER_MARK, MAX_ROW_BYTES, Unreadable, decoded
from finetui_core.data.readers import RawRow, read_rows
from finetui_core.errors import Problem


class Rows:
    """The rows of one scan by number. JSON is read where it stands; the rows of a table, which can only be read from
    the beginning, are first written to a temporary file as JSON lines, so that memory does not grow with the file."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._is_json = scan.form in ("lines", "array")
        self._offsets = scan.offsets
        if self._is_json:
            self._file = Path(scan.source).open("rb", buffering=1 << 18)  # noqa: SIM115 (closed by __exit__)
        else:
            self._file = tempfile.TemporaryFile(buffering=1 << 18)  # type: ignore[assignment]  # noqa: SIM115
            self._offsets = array("Q")

    def __enter__(self) -> "Rows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, number: int) -> Row | Problem:
        """The row, or why there is none."""
        if not self._is_json and not self._offsets:
            self._spool()
        where = f"{self._scan.source}:{self._scan.line_of(number)}"
        self._file.seek(self._offsets[number])
        if self._scan.form == "array":
            raw = self._file.read(self._scan.sizes[number])
        else:
            raw = self._file.readline(MAX_ROW_BYTES + 1)
        value = decoded(raw.removeprefix(BYTE_ORDER_MARK).strip())
        if isinstance(value, Unreadable):
            return Problem(value.what, where, value.hint)
        row = convert(self._scan.format, value, where)
        return row.problem(where) if isinstance(row, Rejected) else row

    def all(self) -> Iterator[Row | Problem]:
        """Every row in order."""
        return (self.read(number) for number in range(self._scan.rows))

    def _spool(self) -> None:
        at = 0
        for row in read_rows(self._scan.source):
            value = row.value if isinstance(row, RawRow) else None
            self._offsets.append(at)
            at += self._file.write(msgspec.json.encode(value, enc_hook=repr) + b"\n")
