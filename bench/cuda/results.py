"""What the programs of bench/cuda wrote: one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Results:
    """Records of a run, the later of equal ones counts."""

    def __init__(self, records: list[Record]):
        self.records = records

    @classmethod
    def read(cls, folder: Path) -> Results:
        """All *.jsonl files of a folder. A run that was cut off leaves a broken last line: it is
        left out."""
        records = []
        for path in sorted(folder.glob("*.jsonl")):
            for line in path.read_text().splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue
                if isinstance(record, dict):
                    records.append(record)
        return cls(records)

    def all(self, **fields: object) -> list[Record]:
        """Records that have these values."""
        return [
            record
            for record in self.records
            if all(record.get(key) == value for key, value in fields.items())
        ]

    def find(self, **fields: object) -> Record | None:
        found = self.all(**fields)
        return found[-1] if found else None

    def value(self, key: str, **fields: object) -> float | None:
        record = self.find(**fields)
        value = record.get(key) if record else None
        return float(value) if isinstance(value, int | float) else None

    def ratio(self, key: str, above: Record, below: Record) -> float | None:
        """Of one record's value to another's."""
        over, under = self.value(key, **above), self.value(key, **below)
        return over / under if over is not None and under else None
