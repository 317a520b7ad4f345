from __future__ import annotations

import pytest
import torch
from torch import Tensor

from curate.models.sampling import (
    FiniteLogits,
    KeyedLogits,
    KeyedSampler,
    Sampling,
    gumbel,
    sample,
    stream_key,
)


def _keys(count: int) -> Tensor:
    keys = [stream_key(f"{n:032x}", round_number=0, caption=0) for n in range(count)]
    return torch.tensor(keys)


def _nucleus(logits_V: Tensor, sampling: Sampling) -> Tensor:
    """The exact distribution, written plainly: sort, truncate, renormalise."""
    scaled = (logits_V.double() / sampling.temperature).tolist()
    order = sorted(range(len(scaled)), key=lambda token: -scaled[token])
    if sampling.top_k:
        order = order[: sampling.top_k]
    weights = torch.tensor([scaled[token] for token in order], dtype=torch.float64).softmax(0)
    exact, mass = torch.zeros(len(scaled), dtype=torch.float64), 0.0
    for token, weight in zip(order, weights.tolist(), strict=True):
        if mass >= sampling.top_p and mass:
            break
        exact[token], mass = weight, mass + weight
    return exact / exact.sum()


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(top_p=0.9),
        Sampling(top_p=0.5, temperature=2.0),
        Sampling(top_p=1.0, top_k=7),
        Sampling(top_p=0.8, top_k=5, temperature=0.7),
        Sampling(top_p=1.0),
    ],
)
def test_frequencies_are_those_of_the_exact_nucleus(sampling: Sampling) -> None:
    count = 60_000
    logits_V = torch.linspace(2.0, -3.0, 40)[torch.randperm(40, generator=torch.manual_seed(0))]
    drawn = sample(logits_V.expand(count, -1), _keys(count), 0, sampling)
    exact = _nucleus(logits_V, sampling)
    got = torch.bincount(drawn, minlength=40)
    assert got[exact == 0].sum() == 0
    inside = exact > 0
    wanted = exact[inside] * count
    chi_square = ((got[inside] - wanted) ** 2 / wanted).sum().item()
    freedom = int(inside.sum()) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5
    assert (got / count - exact).abs().max() < 0.006


def test_a_nucleus_wider_than_the_candidates_is_exact_too() -> None:
    count = 8_000
    logits_V = torch.zeros(600)
    logits_V[:10] = 2.0
    drawn = sample(logits_V.expand(count, -1), _keys(count), 0, Sampling(top_p=0.999))
    weights = logits_V.double().softmax(0)
    assert torch.bincount(drawn, minlength=600).gt(0).sum() > 590
    share = (drawn < 10).double().mean().item()
    assert share == pytest.approx(weights[:10].sum().item(), abs=0.015)


def test_noise_has_the_moments_of_a_gumbel_variable() -> None:
    noise = gumbel(_keys(2000)[:, None], 3, torch.arange(100)[None])
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.01)
    assert noise.var().item() == pytest.approx(torch.pi**2 / 6, abs=0.03)


def test_noise_of_steps_captions_and_tokens_is_uncorrelated() -> None:
    keys, tokens = _keys(400)[:, None], torch.arange(100)[None]
    other = [stream_key(f"{n:032x}", round_number=0, caption=1) for n in range(400)]
    base = gumbel(keys, 0, tokens)
    rows = {
        "step": gumbel(keys, 1, tokens),
        "far step": gumbel(keys, 29, tokens),
        "caption": gumbel(torch.tensor(other)[:, None], 0, tokens),
        "token": gumbel(keys, 0, tokens + 1).roll(7, 1),
    }
    for name, noise in rows.items():
        correlation = torch.corrcoef(torch.stack([base.flatten(), noise.flatten()]))[0, 1]
        assert abs(correlation.item()) < 0.02, name


def test_a_row_is_drawn_alike_in_any_batch() -> None:
    logits = torch.randn(64, 5000, generator=torch.manual_seed(1)) * 2
    logits[::7] *= 0.01  # some nuclei are wider than the candidates
    keys, sampling = _keys(64), Sampling(top_p=0.95)
    together = sample(logits, keys, 5, sampling)
    order = torch.randperm(64, generator=torch.manual_seed(2))
    assert sample(logits[order], keys[order], 5, sampling).tolist() == together[order].tolist()
    alone = [sample(logits[i : i + 1], keys[i : i + 1], 5, sampling).item() for i in range(64)]
    assert alone == together.tolist()
    assert sample(logits, keys, 6, sampling).tolist() != together.tolist()


def test_keys_differ_by_uid_round_and_caption() -> None:
    keys = {
        stream_key(uid, round_number=r, caption=k)
        for uid in ("a" * 32, "b" * 32)
        for r in range(3)
        for k in range(3)
    }
    assert len(keys) == 18
    assert all(-(2**63) <= key < 2**63 for key in keys)


def test_equal_logits_at_the_cut_are_all_in_the_nucleus() -> None:
    logits_V = torch.tensor([1.0, 0.0, 0.0, 0.0, -9.0]).bfloat16()
    drawn = sample(logits_V.expand(3000, -1).float(), _keys(3000), 0, Sampling(top_p=0.6))
    assert sorted(set(drawn.tolist())) == [0, 1, 2, 3]


def test_top_p_zero_is_greedy() -> None:
    logits = torch.randn(8, 50, generator=torch.manual_seed(3))
    sampler = KeyedSampler(_keys(8).tolist(), Sampling(top_p=0), prompt_ids=[0], end_id=1)
    assert sampler(logits, 0).tolist() == logits.argmax(-1).tolist()


def test_a_tiny_nucleus_is_greedy_too() -> None:
    logits = torch.randn(8, 50, generator=torch.manual_seed(3))
    drawn = sample(logits, _keys(8), 0, Sampling(top_p=1e-9))
    assert drawn.tolist() == logits.argmax(-1).tolist()


def test_the_end_waits_for_the_least_length() -> None:
    logits = torch.tensor([[0.0, 9.0, 1.0]])
    sampler = KeyedSampler([7], Sampling(top_p=0, min_tokens=2), prompt_ids=[0], end_id=1)
    assert [sampler(logits, step).item() for step in range(3)] == [2, 2, 1]


def test_repeated_tokens_are_penalised_prompt_included() -> None:
    logits = torch.tensor([[2.0, 1.9, 1.8, -1.0]])
    sampler = KeyedSampler([7], Sampling(top_p=0, repetition_penalty=1.2), prompt_ids=[0], end_id=3)
    # 0 is in the prompt: 2.0 / 1.2; then 1: 1.9 / 1.2; then 2: 1.8 / 1.2; then 0 is best again
    assert [sampler(logits, step).item() for step in range(4)] == [1, 2, 0, 0]


def test_negative_logits_of_repeated_tokens_sink() -> None:
    logits = torch.tensor([[-1.0, -1.1]])
    sampler = KeyedSampler([7], Sampling(top_p=0, repetition_penalty=1.2), prompt_ids=[0], end_id=5)
    assert sampler(logits, 0).item() == 1


def test_the_logits_processor_counts_steps_from_the_prompts_end() -> None:
    logits = torch.randn(4, 30, generator=torch.manual_seed(4))
    keys, sampling = _keys(4), Sampling(top_p=0.95)
    processor = KeyedLogits(
        KeyedSampler(keys.tolist(), sampling, prompt_ids=[9, 8], end_id=1), prompt_length=2
    )
    for step in range(3):
        scores = processor(torch.zeros(4, 2 + step, dtype=torch.int64), logits)
        assert torch.isfinite(scores).sum(-1).tolist() == [1] * 4
        assert scores.argmax(-1).tolist() == sample(logits, keys, step, sampling).tolist()


def test_forbidden_tokens_are_never_drawn() -> None:
    logits_V = torch.full((50,), 0.0)
    logits_V[10:] = -torch.inf
    drawn = sample(logits_V.expand(500, -1), _keys(500), 0, Sampling(top_p=1.0))
    assert drawn.max().item() < 10


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    logits_BV = torch.zeros(3, 9)
    logits_BV[1, 4] = bad
    sampler = KeyedSampler([1, 2, 3], Sampling(), prompt_ids=[0], end_id=3)
    with pytest.raises(FloatingPointError, match="token 0"):
        sampler(logits_BV, 0)
    with pytest.raises(FloatingPointError, match="token 7"):
        FiniteLogits()(torch.zeros(3, 7, dtype=torch.int64), logits_BV)


def test_a_row_of_forbidden_tokens_alone_is_refused_but_not_one_with_a_choice() -> None:
    logits_BV = torch.full((1, 9), -torch.inf)
    sampler = KeyedSampler([1], Sampling(), prompt_ids=[0], end_id=3)
    with pytest.raises(FloatingPointError, match="not finite"):
        sampler(logits_BV, 0)
    logits_BV[0, 6] = -3.0
    assert sampler(logits_BV, 0).tolist() == [6]


def test_prompt_ids_outside_of_the_vocabulary_are_not_repeated_and_do_no_harm() -> None:
    sampling = Sampling(top_p=0, repetition_penalty=2.0)
    logits = torch.tensor([[0.9, 1.0, 0.1]])
    sampler = KeyedSampler([7], sampling, prompt_ids=[1, 99, 3], end_id=2)
    assert sampler(logits, 0).tolist() == [0], "1 was said, so 0.9 beats half of 1.0"
    assert sampler(logits, 1).tolist() == [1], "0 was said too: 0.5 beats 0.45"


def test_several_ids_may_end_a_text() -> None:
    sampler = KeyedSampler([7], Sampling(top_p=0, min_tokens=1), prompt_ids=[0], end_id=(1, 2))
    logits = torch.tensor([[0.0, 3.0, 2.0, 1.0]])
    assert [sampler(logits, step).item() for step in (0, 1)] == [3, 1]
