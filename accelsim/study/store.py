"""Points of a sweep, kept in a file as they are done, so that an interrupted sweep can go on."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from accelsim.errors import InputError
from accelsim.files import write_text
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.technology import dram, technology
from accelsim.provenance import software_versions
from accelsim.simulation.session import Session


class PointStore:
    """A JSON-lines file: a header that says what was run, then one line per finished point.

    Without a path nothing is kept. A last line that was cut off by an interruption is dropped. Raises
    InputError if the file belongs to another network, input or version, or cannot be written.
    """

    def __init__(self, path: str | Path | None, session: Session) -> None:
        self._path = Path(path) if path else None
        self._header = {"sweep_of": _fingerprint(session)} if path else {}
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._file: IO[str] | None = None

    def __enter__(self) -> "PointStore":
        if self._path:
            records = self._read(self._path)
            self._rows = {record["point"]: record["rows"] for record in records}
            text = "".join(_line(record) for record in [self._header, *records])
            write_text(self._path, text)
            self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            with suppress(OSError):  # what a full disk did not take was reported by `put`
                self._file.close()

    def get(self, machine: Accelerator) -> list[dict[str, Any]] | None:
        """Rows of a point that was run before, or None."""
        return self._rows.get(_key(machine)) if self._file else None

    def put(self, machine: Accelerator, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a point."""
        if self._file:
            try:
                self._file.write(_line({"point": _key(machine), "rows": rows}))
                self._file.flush()
            except OSError as error:
                raise InputError(
                    f"{self._path}: cannot write: {error.strerror}: make room and run again to go on"
                ) from None

    def _read(self, path: Path) -> list[dict[str, Any]]:
        if not path.exists():
            return []
        if path.is_dir():
            raise InputError(
                f"{path}: damaged sweep store, a folder: remove it, or choose another place (--out)"
            )
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{path}: damaged sweep store: start over (--afresh)") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error}") from None
        lines = text.splitlines()
        complete = lines if text.endswith("\n") else lines[:-1]
        records = [_record(path, number, line) for number, line in enumerate(complete, start=1)]
        if records and records[0] != self._header:
            raise InputError(
                f"{path}: holds a sweep of another network, input or version: choose another folder "
                "or file (--out), or start over (--afresh)"
            )
        return records[1:]


def _line(record: dict[str, Any]) -> str:
    """A record as a line that can tell whether it was damaged."""
    text = json.dumps(record)
    return f"{hashlib.sha256(text.encode()).hexdigest()} {text}\n"


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    """Undo `_line`. Raises InputError for a line that is not as it was written."""
    digest, _, text = line.partition(" ")
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise InputError(f"{path}, line {number}: damaged sweep store: start over (--afresh)")
    record: dict[str, Any] = json.loads(text)
    return record


def _key(machine: Accelerator) -> str:
    """The machine and what its tables say: a table of the user's own may change between runs."""
    tech = technology(machine.technology)
    tables = tech.model_dump_json() + dram(machine.dram).model_dump_json()
    digest = hashlib.sha256(tables.encode() + tech.sram_table.read_bytes())
    return f"{machine.model_dump_json()} {digest.hexdigest()}"


def _fingerprint(session: Session) -> str:
    """SHA-256 of everything but the machine that a point depends on."""
    digest = hashlib.sha256(json.dumps(software_versions(), sort_keys=True).encode())
    for layer in session.network.layers:
        digest.update(f"{layer.name} {layer.n_out} {layer.n_in} {layer.activation}".encode())
        digest.update(layer.codebook.tobytes())
        for array in layer.sparse:
            digest.update(array.tobytes())
        if layer.bias is not None:
            digest.update(layer.bias.tobytes())
    for name, values in session.inputs.given.items():
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()
