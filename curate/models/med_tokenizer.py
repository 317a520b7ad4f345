"""The word-piece tokenizer of MED, with [ENC] and [DEC].

Shapes: B texts, L tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast

PAD, UNK, CLS, SEP, MASK, ENC, DEC = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[ENC]", "[DEC]"
SPECIAL_TOKENS = (PAD, UNK, CLS, SEP, MASK, ENC, DEC)
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_PUNCTUATION = ".,;:!?'\"()[]{}-_/\\&%$#@*+=<>|~^`"


def build_tokenizer(pieces: Sequence[str]) -> PreTrainedTokenizerFast:
    """Build an uncased word-piece tokenizer.

    Args:
        pieces: the vocabulary in the order of ids, without the special tokens, which come first.
            A piece that continues a word begins with ``##``.
    """
    vocabulary = {piece: index for index, piece in enumerate((*SPECIAL_TOKENS, *pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNK, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        special_tokens=[(CLS, vocabulary[CLS]), (SEP, vocabulary[SEP])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNK,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        additional_special_tokens=[ENC, DEC],
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerFast:
    """Read the tokenizer of a checkpoint folder."""
    return PreTrainedTokenizerFast.from_pretrained(folder)


def tokenize(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_tokens: int
) -> tuple[Tensor, Tensor]:
    """Return ids [B, L] and mask [B, L], int64, padded to the longest text.

    A text longer than ``max_tokens`` (special tokens included) is cut; it still ends in [SEP].
    """
    encoded = tokenizer(list(texts), truncation=True, max_length=max_tokens, padding="longest")
    ids = torch.tensor(encoded["input_ids"], dtype=torch.int64)
    return ids, torch.tensor(encoded["attention_mask"], dtype=torch.int64)


def prompt_ids(tokenizer: PreTrainedTokenizerFast, prompt: str) -> Tensor:
    """Return the ids [S] a caption starts from: [DEC], then the prompt's words."""
    words = tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
    return torch.tensor([tokenizer.convert_tokens_to_ids(DEC), *words], dtype=torch.int64)


def detokenize(tokenizer: PreTrainedTokenizerFast, ids_BL: Tensor) -> list[str]:
    """Return the texts of generated ids, without special tokens."""
    texts = tokenizer.batch_decode(ids_BL.tolist(), skip_special_tokens=True)
    return [str(text).strip() for text in texts]


def word_pieces(texts: Iterable[str], size: int) -> list[str]:
    """Choose a vocabulary from texts alone: the most frequent words, and all characters.

    Ties are broken alphabetically, so the same texts give the same vocabulary.
    """
    splitter = pre_tokenizers.BertPreTokenizer()
    normalizer = normalizers.BertNormalizer(lowercase=True)
    counts: Counter[str] = Counter()
    for text in texts:
        words = splitter.pre_tokenize_str(normalizer.normalize_str(text))
        counts.update(word for word, _ in words)
    return _most_frequent(counts, size, {})


def prune_pieces(base: PreTrainedTokenizerFast, texts: Iterable[str], size: int) -> list[str]:
    """Choose the pieces of another tokenizer's vocabulary that texts need most.

    Characters are kept, so that any word can still be spelt. Ties are broken by the order of the
    base vocabulary, which is roughly that of frequency in general English.

    Args:
        base: an uncased word-piece tokenizer.
        texts: what the model will read and write.
        size: number of pieces, special tokens not counted.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(base.tokenize(text))
    order = {piece: index for piece, index in base.get_vocab().items() if not _reserved(piece)}
    counts.update(dict.fromkeys(order, 0))
    for piece in [piece for piece in counts if _reserved(piece)]:
        del counts[piece]
    return _most_frequent(counts, size, order)


def _most_frequent(counts: Counter[str], size: int, order: dict[str, int]) -> list[str]:
    always = [*_CHARACTERS, *(f"##{letter}" for letter in _CHARACTERS), *_PUNCTUATION]
    always = [piece for piece in always if not order or piece in order]
    kept = set(always)
    ranked = sorted(counts, key=lambda piece: (-counts[piece], order.get(piece, 0), piece))
    chosen = [piece for piece in ranked if piece not in kept]
    return (always + chosen)[:size]


def _reserved(piece: str) -> bool:
    return piece.startswith("[") and piece.endswith("]") and len(piece) > 2
