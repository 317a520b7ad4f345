"""The dataset card: what an export holds, how it was made, and what is not known of it.

Headed by YAML, as Hugging Face reads it (https://huggingface.co/docs/hub/datasets-cards). Nothing
in it depends on when or where the export was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from curate.core.atomic import write_whole
from curate.core.location import StorePath
from curate.core.selection import Selection
from curate.core.table import CommittedTable

CARD = "README.md"
#: Sizes by which the hub's search groups datasets.
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


def write_card(
    output: StorePath,
    table: CommittedTable,
    selection: Selection,
    manifest: Mapping[str, Any],
    front: Mapping[str, Any],
    licence: str | None,
) -> None:
    """Write ``README.md``.

    Args:
        output: the export's folder.
        table: the run's table.
        selection: the one that is exported.
        manifest: counts and shards.
        front: what the format adds to the YAML head.
        licence: as the recipe states it; None where it does not.
    """
    samples = manifest["samples"]
    size = next((name for limit, name in _SIZES if samples < limit), "n>1M")
    head = {
        "license": licence or "other",
        "size_categories": [size],
        "tags": ["image-text", "curate"],
        **front,
    }
    name = str(table.facts.get("name", "unnamed"))
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=True, allow_unicode=True)}---",
        f"# {name}: selection {selection.name}",
        f"{samples:,} samples of {manifest['images']:,} pictures in "
        f"{len(manifest['shards']):,} shard(s). `manifest.json` has their sizes and SHA-256 "
        "checksums; `curate validate` reads them back.",
        _texts(manifest, selection),
        _making(table, selection, manifest),
        _limits(licence),
    ]
    text = "\n\n".join(parts) + "\n"
    write_whole(output / CARD, lambda file: file.write(text.encode()))


def _texts(manifest: Mapping[str, Any], selection: Selection) -> str:
    held: Counter[str] = Counter()
    for shard in manifest["shards"]:
        held.update(shard["texts"])
    rejected = selection.facts["rejected"]
    sources = sorted({*held, *selection.facts["selected"], *rejected})
    rows = [
        f"| {source} | {held[source]:,} | {selection.facts['selected'].get(source, 0):,} | "
        + (_listed(rejected.get(source, {})) or "none")
        + " |"
        for source in sources
    ]
    table = ["| texts | in this export | selected | rejected |", "| --- | --- | --- | --- |"]
    return "\n".join(["## Texts", "", *table, *rows])


def _making(table: CommittedTable, selection: Selection, manifest: Mapping[str, Any]) -> str:
    models: Counter[str] = Counter()
    for shard in manifest["shards"]:
        models.update(shard["models"])
    lines = ["## How it was made", ""]
    source = table.facts.get("identity", {}).get("source", {}).get("stage")
    if source:
        lines.append(f"- Source: `{source}`.")
    lines += [
        f"- Stage `{stage['stage']}`: {_listed(_settings(stage))}."
        for stage in table.facts.get("stages", [])
    ]
    lines += [f"- Texts by `{model}`: {count:,}." for model, count in sorted(models.items())]
    settings = selection.facts["settings"]
    lines.append(f"- Selected by `{settings.get('stage', 'a selector')}`: {_listed(settings)}.")
    if selection.facts["summary"]:
        lines.append(f"- The selection found: {_listed(selection.facts['summary'])}.")
    options = manifest["made_from"]["options"]
    lines.append(f"- Exported as `{manifest['made_from']['kind']}`: {_listed(options)}.")
    return "\n".join(lines)


def _limits(licence: str | None) -> str:
    terms = (
        f"Whoever exported it states the licence `{licence}`. The pictures and web texts keep "
        "whatever terms their owners gave them."
        if licence
        else "No licence was stated. Pictures and web texts belong to their owners, and their "
        "terms were not looked up."
    )
    return "\n".join(
        [
            "## Licences and known limits",
            "",
            f"- {terms}",
            "- A selected text is one that a model scored well enough. Some are still wrong, and "
            "some good ones were rejected.",
            "- Synthetic captions repeat the habits and biases of the captioner and of what it was "
            "trained on.",
            "- Pictures were not checked for people, private data or illegal material unless a "
            "stage above says so.",
        ]
    )


def _settings(stage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stage.items() if key not in ("stage", "name")}


def _listed(values: Mapping[str, Any]) -> str:
    shown = {key: value for key, value in sorted(values.items()) if value not in (None, "", {}, [])}
    return ", ".join(f"{key} {_plain(value)}" for key, value in shown.items() if key != "stage")


def _plain(value: Any) -> str:
    text = str(value) if not isinstance(value, int) or isinstance(value, bool) else f"{value:,}"
    return " ".join(text.split())[:200]
