"""Turning words and pictures into vectors, with the scorer that made a run's embeddings."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from curate.core.atomic import read_bytes
from curate.core.errors import ModelError, SourceError
from curate.core.families import find
from curate.core.layout import RECIPE_FILE
from curate.core.table import CommittedTable

if TYPE_CHECKING:
    from curate.models.base import Scorer

Vector = NDArray[np.float32]
#: What ``plan.json`` adds to a stage's settings.
_ADDED = ("name", "stage", "version", "weights")


class Encoder:
    """A scorer's model, loaded when it is first needed; safe in threads."""

    def __init__(self, table: CommittedTable, embedding: str) -> None:
        """Remember whose model it is.

        Args:
            table: the run's.
            embedding: a column of its embeddings, ``NAME_embed``.
        """
        self._table = table
        self._name = embedding.removesuffix("_embed")
        self._lock = threading.Lock()
        self._model: Scorer | None = None

    def picture(self, body: bytes) -> Vector:
        """Return the vector of an encoded picture, float32 [E], unit norm.

        Raises:
            SourceError: the bytes are no picture that can be used.
            ModelError: the scorer's checkpoint is not here, or is another one now.
        """
        from curate.images import ImageFault, decode

        try:
            pixels = decode(body)
        except ImageFault as fault:
            raise SourceError(f"this picture cannot be used: {fault}") from fault
        model = self._loaded()
        with self._lock:
            embeds = model.score(model.prepare(pixels)[None], [], []).image_embeds
        if embeds is None:
            raise ModelError(f"the scorer {self._name!r} has no single vector for an image")
        return np.asarray(embeds[0], np.float32)

    def words(self, text: str) -> Vector:
        """Return the vector of a text in the space of the pictures, float32 [E], unit norm.

        Raises:
            ModelError: the scorer's checkpoint is not here, is another one now, or has no single
                vector for a text.
        """
        from curate.models.base import EmbedsTexts

        model = self._loaded()
        embeds = None
        if isinstance(model, EmbedsTexts):
            with self._lock:
                embeds = model.embed_texts([text])
        if embeds is None:
            raise ModelError(
                f"the scorer {self._name!r} has no single vector for a text: search by words or by "
                "a picture"
            )
        return np.asarray(embeds[0], np.float32)

    def _loaded(self) -> Scorer:
        with self._lock:
            if self._model is None:
                self._model = self._load()
            return self._model

    def _load(self) -> Scorer:
        stage, weights = self._made_by()
        kind = str(stage.pop("kind")).rpartition("/")[2]
        config: Any = find("scorers", kind).config()(**stage)
        if weights is not None and config.identity().get("weights") != weights:
            raise ModelError(
                f"the checkpoint {stage['model']!r} is not the one that {self._name!r} made its "
                "embeddings with: bring that one back, or search by a row of the run"
            )
        model: Scorer = config.load()
        return model

    def _made_by(self) -> tuple[dict[str, Any], str | None]:
        """Return the scorer as a recipe says it, and the hash of its weights where it is known."""
        for one in self._table.added:
            if one.name == self._name:
                return dict(one.stage), None
        for stage in self._table.facts.get("stages", ()):
            if stage.get("name") == self._name and str(stage["stage"]).startswith("scorers/"):
                said = {key: value for key, value in stage.items() if key not in _ADDED}
                model = self._whereabouts() or said.get("model")
                return {**said, "kind": stage["stage"], "model": model}, stage.get("weights")
        raise ModelError(
            f"{self._table.store.root} does not say which scorer made {self._name}_embed: search "
            "by a row of the run"
        )

    def _whereabouts(self) -> str | None:
        """Return the model as the run's recipe names it; ``plan.json`` has a folder's name only."""
        try:
            recipe = yaml.safe_load(read_bytes(self._table.store.root / RECIPE_FILE))
        except (FileNotFoundError, yaml.YAMLError):
            return None
        for stage in (recipe or {}).get("stages") or ():
            name = stage.get("as") or str(stage.get("kind", "")).rpartition("/")[2]
            if name == self._name and "model" in stage:
                return str(stage["model"])
        return None
