"""The two protocols behind which every model family stands: Captioner and Scorer.

Both take pictures as bytes: ``prepare`` brings one to the model's size and runs in the threads
that decode, beside the model; the batch goes to the device as uint8 and is normalised there.

Shapes: H height, W width, B images, T texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from curate.models.sampling import Sampling

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Writing:
    """How captions are written.

    Attributes:
        decoding: ``nucleus`` and ``greedy`` use ``sampling``; ``beam`` searches.
        sampling: how the next token is chosen; with ``beam`` its penalty and least length alone.
        num_beams: beams of a search.
        prompt: words every caption begins with; they are not part of the text.
        max_tokens: most new tokens of a caption.
        round_number: turn of the bootstrap loop; another round draws other captions.
    """

    decoding: Literal["nucleus", "greedy", "beam"] = "nucleus"
    sampling: Sampling = field(default_factory=Sampling)
    num_beams: int = 3
    prompt: str = ""
    max_tokens: int = 30
    round_number: int = 0

    def describe(self, caption: int) -> str:
        """Return the decoding settings of one caption as ``text_models`` records them.

        Example:
            >>> Writing(prompt="a picture of").describe(0)
            "nucleus p=0.9 prompt='a picture of' tokens=0-30 k=0 round=0"
        """
        s = self.sampling
        parts: list[str] = [self.decoding]
        if self.decoding == "nucleus":
            parts.append(f"p={s.top_p:g}")
            parts += [f"top_k={s.top_k}"] if s.top_k else []
            parts += [f"temperature={s.temperature:g}"] if s.temperature != 1 else []
        if self.decoding == "beam":
            parts.append(f"beams={self.num_beams}")
        parts += [f"penalty={s.repetition_penalty:g}"] if s.repetition_penalty != 1 else []
        parts += [f"prompt={self.prompt!r}"] if self.prompt else []
        parts.append(f"tokens={s.min_tokens}-{self.max_tokens}")
        return " ".join([*parts, f"k={caption}", f"round={self.round_number}"])


class Captioner(Protocol):
    """Writes captions for images."""

    @property
    def signature(self) -> str:
        """The model's name and short hash, ``name@0123456789ab``."""

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Bring an RGB picture to the model's size, uint8 [3, H', W']. Safe in threads.

        A family whose pictures have another form (patches, tiles) gives bytes of one shape of its
        own, the same for all pictures.
        """

    def caption(
        self, images_B3HW: Pixels, uids: Sequence[str], draws: Sequence[int]
    ) -> list[list[str]]:
        """Write captions without the prompt, one for every image and draw.

        A sampled caption is drawn from the stream of (uid, round, draw): it depends on its image,
        uid and draw alone, not on the batch nor on the other draws. So a poor caption can be drawn
        again under another number while all others stay.

        Args:
            images_B3HW: prepared pictures.
            uids: B uids.
            draws: numbers of the streams to draw from, the same for every image; in any order and
                not always from 0. Greedy decoding is only asked for ``[0]``; a beam search for
                0, 1, 2, ..., its best sequences in order.

        Returns:
            For each image its captions in the order of ``draws``.

        Raises:
            FloatingPointError: the logits of some image are not finite; ``KeyedSampler`` says so.
            Exception: whatever else a picture does to the model; the stage finds it by bisection.
        """


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer says of T texts and B images.

    Attributes:
        numbers: by name, float32 [T]: ``itc``, cosines in [-1, 1], ``itm``, probabilities in [0, 1]
            that image and text belong together, or both, as the family gives.
        truncated: whether a text was longer than the model reads and was cut, bool [T].
        image_embeds: unit norm, float32 [B, E], also of images without a text; None where the
            family has no single vector for an image.
    """

    numbers: Mapping[str, NDArray[np.float32]]
    truncated: NDArray[np.bool_]
    image_embeds: NDArray[np.float32] | None = None


class Scorer(Protocol):
    """Scores texts against images."""

    @property
    def signature(self) -> str:
        """The model's name and short hash, ``name@0123456789ab``."""

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Bring an RGB picture to the model's size, uint8 [3, H', W']. Safe in threads.

        A family whose pictures differ in shape gives bytes of one fixed shape of its own.
        """

    def score(self, images_B3HW: Pixels, texts: Sequence[str], images_of: Sequence[int]) -> Scored:
        """Score texts, each against one image; an image is encoded once for all of its texts.

        A score depends on its own image and text alone, not on the batch.

        Args:
            images_B3HW: prepared pictures.
            texts: T texts, in any order.
            images_of: for each text the index of its image.
        """


@runtime_checkable
class EmbedsTexts(Protocol):
    """A scorer whose texts have vectors in the space of its images, as a dual encoder's have."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return texts' vectors, float32 [T, E], unit norm; None where the family has none."""
