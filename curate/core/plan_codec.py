"""Steps and schemas as JSON values, for ``plan.json``."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.core.plan import Node


def schema_text(schema: pa.Schema) -> str:
    """Return a schema as text that keeps types, nullability and metadata."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def schema_from_text(text: str) -> pa.Schema:
    """Read what ``schema_text`` wrote."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def node_json(node: Node) -> dict[str, Any]:
    """Return a step as JSON values; the names of its columns are for people."""
    return {
        "folder": node.folder,
        "fingerprint": node.fingerprint,
        "stages": list(node.stages),
        "columns": [] if node.schema is None else node.schema.names,
        "schema": None if node.schema is None else schema_text(node.schema),
    }


def node_from_json(value: Mapping[str, Any]) -> Node:
    """Read what ``node_json`` wrote."""
    schema = value["schema"]
    return Node(
        folder=value["folder"],
        fingerprint=value["fingerprint"],
        stages=tuple(value["stages"]),
        schema=None if schema is None else schema_from_text(schema),
    )
