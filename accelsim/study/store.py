"""Points of a sweep, kept in a file as they are done, so that an interrupted sweep can go on."""

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.provenance import software_versions
from accelsim.simulate.session import Session


class PointStore:
    """A JSON-lines file: a header that says what was run, then one line per finished point.

    Without a path nothing is kept. A last line that was cut off by an interruption is dropped. Raises
    InputError if the file belongs to another network, input or version, or cannot be written.
    """

    def __init__(self, path: str | Path | None, session: Session, varied: list[str]) -> None:
        self._path = Path(path) if path else None
        self._header = {"sweep_of": _fingerprint(session), "varied": sorted(varied)}
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._file: IO[str] | None = None

    def __enter__(self) -> "PointStore":
        if self._path:
            lines = self._read(self._path)
            try:
                self._file = self._path.open("w", encoding="utf-8")
            except OSError as error:
                raise InputError(f"{self._path}: cannot write: {error.strerror}") from None
            self._append(self._header)
            for line in lines:
                self._append(line)
                self._rows[line["point"]] = line["rows"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()

    def get(self, machine: Accelerator) -> list[dict[str, Any]] | None:
        """Rows of a point that was run before, or None."""
        return self._rows.get(_key(machine))

    def put(self, machine: Accelerator, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a point."""
        self._rows[_key(machine)] = rows
        if self._file:
            self._append({"point": _key(machine), "rows": rows})

    def _append(self, record: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def _read(self, path: Path) -> list[dict[str, Any]]:
        if not path.exists():
            return []
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from None
        lines = text.splitlines()
        complete = lines if text.endswith("\n") else lines[:-1]
        try:
            records = [json.loads(line) for line in complete]
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: damaged sweep store: {error}: delete it") from None
        if records and records[0] != self._header:
            raise InputError(
                f"{path}: holds a sweep of another network, input or version: choose another file"
            )
        return records[1:]


def _key(machine: Accelerator) -> str:
    return machine.model_dump_json()


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
