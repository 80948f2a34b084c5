"""The schema of the report, which is itself checked once."""

import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "report.schema.json").read_text(encoding="utf-8")
)
_VALIDATOR = jsonschema.validators.validator_for(SCHEMA)
_VALIDATOR.check_schema(SCHEMA)


def validate(report: Any) -> None:
    """Raise where a report is not as the schema says."""
    _VALIDATOR(SCHEMA).validate(report)
