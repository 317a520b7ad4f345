"""The command ``curate evaluate``: a model judged on pictures it has not seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


@click.command(name="evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("table")
@click.option("--image", help="Column of pictures.  [default: image]")
@click.option("--captions", help="Column of texts.  [default: captions]")
@click.option("--images", metavar="DIR", help="Folder of the pictures that TABLE names.")
@click.option("--split", help="Which of Karpathy's splits, e.g. test.")
@click.option(
    "--evaluator",
    "evaluators",
    multiple=True,
    default=("retrieval", "matching"),
    show_default=True,
    help="See 'curate list evaluators'.",
)
@click.option("--label", help="Column of classes, for zero_shot.")
@click.option(
    "--classes",
    type=click.Path(path_type=Path),
    help="JSON file of class names, for zero_shot: by label, or a list by number.",
)
@click.option(
    "--template", "templates", multiple=True, help="A prompt with {} for the class, for zero_shot."
)
@click.option("--output", type=click.Path(path_type=Path), help="JSON file for the figures.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override, e.g. resamplings=0."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def evaluate_command(
    model: Path,
    table: str,
    image: str | None,
    captions: str | None,
    images: str | None,
    split: str | None,
    evaluators: Sequence[str],
    label: str | None,
    classes: Path | None,
    templates: Sequence[str],
    output: Path | None,
    sets: Sequence[str],
    as_json: bool,
) -> None:
    """Judge a model on pictures with texts it has not seen: recall@k, AUC, CIDEr, accuracy.

    TABLE is a Parquet, Arrow or JSONL file, WebDataset shards, or the annotations of a benchmark:
    Karpathy's (dataset_flickr30k.json) or BLIP's (coco_karpathy_test.json).
    """
    from curate.core.errors import Problem, RecipeError
    from curate.core.validation import override, validated
    from curate.evaluate.config import EvaluateConfig
    from curate.evaluate.run import evaluate

    read = {"path": table, "image": image, "captions": captions, "images": images, "split": split}
    read = {name: value for name, value in read.items() if value is not None}
    zero_shot: dict[str, Any] = {}
    if label is not None:
        zero_shot["table"] = {**read, "captions": label}
    if classes is not None:
        zero_shot["classes"] = _classes(classes)
    if templates:
        zero_shot["templates"] = list(templates)
    problems = []
    if zero_shot and "zero_shot" not in evaluators:
        said = "--label, --classes and --template are for zero_shot"
        problems.append(Problem(said, hint="add --evaluator zero_shot"))
    data: dict[str, Any] = {
        "tables": [read],
        "evaluators": [
            {"kind": kind, **(zero_shot if kind == "zero_shot" else {})} for kind in evaluators
        ],
    }
    for one in sets:
        problems += override(data, one)
    if problems:
        raise RecipeError("curate evaluate", problems)
    config = validated(EvaluateConfig, data, label="curate evaluate")
    found = evaluate(model, config, output=output, echo=lambda line: click.echo(line, err=as_json))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))


def _classes(path: Path) -> dict[str, str]:
    """Return the names of classes by label.

    Raises:
        SourceError: the file is not there, or holds something else.
    """
    from curate.core.errors import SourceError

    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read as JSON: {error}") from error
    if isinstance(told, list):
        told = {str(number): name for number, name in enumerate(told)}
    if not isinstance(told, dict) or not all(isinstance(name, str) for name in told.values()):
        raise SourceError(
            f"{path} holds no class names: a list of them by number, or an object by label"
        )
    return told
