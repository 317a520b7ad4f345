from __future__ import annotations

from pathlib import Path

from curate.models.med_tokenizer import (
    SPECIAL_TOKENS,
    build_tokenizer,
    detokenize,
    load_tokenizer,
    prompt_ids,
    prune_pieces,
    tokenize,
    word_pieces,
)
from tests.models.med_models import TEXTS, med_tokenizer


def test_special_tokens_have_the_config_s_ids() -> None:
    tokenizer = med_tokenizer()
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(7))


def test_texts_come_back_lower_cased() -> None:
    tokenizer = med_tokenizer()
    ids, mask = tokenize(tokenizer, ["A RED dog", "snow"], 20)
    assert ids[0].tolist()[0] == 2
    assert ids[0].tolist()[-1] == 3
    assert mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert detokenize(tokenizer, ids) == ["a red dog", "snow"]


def test_an_unseen_word_is_spelt_and_never_unknown() -> None:
    tokenizer = med_tokenizer()
    ids, _ = tokenize(tokenizer, ["xylophone 42!"], 30)
    assert tokenizer.unk_token_id not in ids
    assert detokenize(tokenizer, ids) == ["xylophone 42!"]


def test_a_long_text_is_cut_and_still_ends() -> None:
    ids, mask = tokenize(med_tokenizer(), ["a red dog " * 20], 8)
    assert ids.shape == (1, 8)
    assert ids[0, -1] == 3
    assert mask.sum() == 8


def test_a_prompt_begins_with_dec() -> None:
    tokenizer = med_tokenizer()
    assert prompt_ids(tokenizer, "").tolist() == [6]
    assert prompt_ids(tokenizer, "a dog").tolist()[1:] == tokenizer.convert_tokens_to_ids(
        ["a", "dog"]
    )


def test_the_same_tokenizer_is_read_back(tmp_path: Path) -> None:
    tokenizer = med_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again("a red xylophone")["input_ids"] == tokenizer("a red xylophone")["input_ids"]


def test_word_pieces_are_the_most_frequent_words() -> None:
    pieces = word_pieces(["dog dog cat", "dog bird cat emu"], 108)
    characters = len(word_pieces([], 1000))
    assert pieces[characters:] == ["dog", "cat", "bird", "emu"][: 108 - characters]


def test_pruning_keeps_what_texts_need_in_the_base_s_pieces() -> None:
    base = build_tokenizer([*word_pieces(TEXTS, 1000), "zebra", "yak"])
    pieces = prune_pieces(base, ["yak and dog", "dog"], 1000)
    whole = set(base.get_vocab()) - set(SPECIAL_TOKENS)
    assert set(pieces) == whole
    characters = [piece for piece in pieces if len(piece.removeprefix("##")) == 1]
    few = prune_pieces(base, ["yak and dog", "dog"], len(characters) + 2)
    assert few[len(characters) :] == ["dog", "yak"]
    assert not set(SPECIAL_TOKENS) & set(few)
