"""Sampling that gives the same caption anywhere: every draw has a key of its own.

A random generator depends on how many numbers were drawn before, so on the batch, its order and
its padding. Here the noise of a token is an integer hash of (key, step, token), and the key is a
hash of (uid, round, caption number). Adding Gumbel noise to log-probabilities and taking the
largest draws exactly from the distribution (Gumbel-max; Maddison et al. 2014, arXiv 1411.0030,
section 2), so nucleus truncation (Holtzman et al. 2019, arXiv 1904.09751) and an argmax are exact
nucleus sampling. Only tokens of the nucleus get noise.

Shapes: B rows, V vocabulary, C candidates (the likeliest tokens), L tokens so far.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: How many of the likeliest tokens are looked at: few at first, for 0.9 of the probability mostly
#: lies within a dozen tokens; more for rows whose nucleus is wider; then the whole vocabulary.
_WIDTHS = (64, 1024)
# Odd multipliers that spread steps and tokens over 64 bits, as signed numbers: 2^64 divided by the
# golden ratio, and another.
_TOKEN = -0x61C8864680B583EB
_STEP = -0x4B47D0C5A1A6E5A3


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        top_p: probability mass of the nucleus, in [0, 1]; 0 is greedy, 1 is the whole vocabulary.
        top_k: sample among the k likeliest tokens only; 0 for no such limit.
        temperature: divides logits before truncation; above 0.
        repetition_penalty: logits of tokens that are there already are divided by it where
            positive and multiplied where negative (Keskar et al. 2019, arXiv 1909.05858, section
            4.1); 1 for none.
        min_tokens: new tokens before the end of the text is allowed.
    """

    top_p: float = 0.9
    top_k: int = 0
    temperature: float = 1.0
    repetition_penalty: float = 1.0
    min_tokens: int = 0


def stream_key(uid: str, *, round_number: int, caption: int) -> int:
    """Return the key of one caption's stream of noise, a signed 64-bit number."""
    digest = hashlib.blake2b(f"{uid}|{round_number}|{caption}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class KeyedSampler:
    """Chooses next tokens for the rows of one batch.

    It is MED's ``choose`` (:meth:`__call__` with logits and a step) and makes transformers'
    greedy ``generate`` sample when wrapped by :class:`KeyedLogits`.

    Example:
        >>> sampler = KeyedSampler([1, 2], Sampling(top_p=0.9), prompt_ids=[0], end_id=3)
        >>> sampler(torch.zeros(2, 10), 0).shape
        torch.Size([2])
    """

    def __init__(
        self,
        keys: Sequence[int],
        sampling: Sampling,
        *,
        prompt_ids: Sequence[int],
        end_id: int | Sequence[int],
    ) -> None:
        """Make a sampler for one batch, used for steps 0, 1, 2 in turn.

        Args:
            keys: a stream key per row; the captions of an image are rows of their own.
            sampling: how tokens are chosen.
            prompt_ids: tokens before the first step; they count as repeated, those outside of the
                vocabulary do not.
            end_id: the token that ends a text, or all that do: chat models have several.
        """
        self._keys_B = torch.tensor(list(keys), dtype=torch.int64)
        self._sampling = sampling
        self._end_ids = torch.tensor([end_id] if isinstance(end_id, int) else list(end_id))
        self._seen_BL = torch.tensor([list(prompt_ids)], dtype=torch.int64).expand(len(keys), -1)

    def __call__(self, logits_BV: Tensor, step: int) -> Tensor:
        """Return the next token of every row, int64 [B].

        Args:
            logits_BV: scores of the next token, any float type.
            step: 0 for the first token after the prompt.

        Raises:
            FloatingPointError: a row's logits hold NaN or +inf, or nothing but -inf.
        """
        require_finite(logits_BV, step)
        self._keys_B = self._keys_B.to(logits_BV.device)
        self._seen_BL = self._seen_BL.to(logits_BV.device)
        scores_BV = self._adjusted(logits_BV.float(), step)
        if self._sampling.top_p == 0:
            next_B = scores_BV.argmax(-1)
        else:
            next_B = sample(scores_BV, self._keys_B, step, self._sampling)
        self._seen_BL = torch.cat([self._seen_BL, next_B[:, None]], 1)
        return next_B

    def _adjusted(self, logits_BV: Tensor, step: int) -> Tensor:
        penalty = self._sampling.repetition_penalty
        if penalty != 1.0:
            if step == 0:  # a picture's place may have an id that no text can have
                self._seen_BL = self._seen_BL[:, self._seen_BL[0] < logits_BV.shape[1]]
            seen = logits_BV.gather(1, self._seen_BL)
            weighed = torch.where(seen > 0, seen / penalty, seen * penalty)
            logits_BV = logits_BV.scatter(1, self._seen_BL, weighed)
        if step < self._sampling.min_tokens:
            logits_BV = logits_BV.index_fill(1, self._end_ids.to(logits_BV.device), -torch.inf)
        return logits_BV


class KeyedLogits:
    """A logits processor for transformers: leaves the sampler's choice as the only one possible.

    ``generate(..., do_sample=False, num_beams=1)`` then takes it. Steps count from the prompt's
    end, and rows keep their order in a greedy call.
    """

    def __init__(self, sampler: KeyedSampler, *, prompt_length: int) -> None:
        """Wrap a sampler.

        Args:
            sampler: made for exactly the rows of the call.
            prompt_length: tokens given to ``generate``.
        """
        self._sampler = sampler
        self._prompt_length = prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores [B, V] that are 0 for the chosen token and -inf elsewhere."""
        next_B = self._sampler(scores, input_ids.shape[1] - self._prompt_length)
        return torch.full_like(scores, -torch.inf).scatter(1, next_B[:, None], 0.0)


class FiniteLogits:
    """A logits processor for a beam search of transformers: refuses logits that are not finite."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores as they are.

        Raises:
            FloatingPointError: see ``require_finite``.
        """
        require_finite(scores, input_ids.shape[1])
        return scores


def require_finite(logits_BV: Tensor, step: int) -> None:
    """Refuse logits that no token can be chosen from.

    Raises:
        FloatingPointError: a row holds NaN or +inf, or nothing but -inf. A single -inf is a token
            that was forbidden.
    """
    if not bool(torch.isfinite(logits_BV.amax(-1)).all()):
        raise FloatingPointError(f"the logits of token {step} are not finite")


def sample(logits_BV: Tensor, keys_B: Tensor, step: int, sampling: Sampling) -> Tensor:
    """Draw a token per row from its truncated distribution, int64 [B].

    A row's draw depends on its own logits, key and step alone. Tokens as likely as the last one of
    the nucleus belong to it too, so the nucleus does not hang on the order of equals.
    """
    scaled_BV = logits_BV / sampling.temperature
    vocabulary = scaled_BV.shape[1]
    next_B = torch.zeros_like(keys_B)
    rows = torch.arange(len(keys_B), device=keys_B.device)
    for width in (*(width for width in _WIDTHS if sampling.top_k < width < vocabulary), vocabulary):
        drawn, fits = _sample_among(scaled_BV[rows], width, keys_B[rows], step, sampling)
        next_B = next_B.index_copy(0, rows, drawn)
        if bool(fits.all()):
            break
        rows = rows[~fits]
    return next_B


def _sample_among(
    scaled_BV: Tensor, width: int, keys_B: Tensor, step: int, sampling: Sampling
) -> tuple[Tensor, Tensor]:
    """Draw among the ``width`` likeliest tokens; also say of which rows these hold the nucleus."""
    top_BC, tokens_BC = scaled_BV.topk(width, dim=-1)
    allowed_BC = torch.isfinite(top_BC)
    if sampling.top_k:
        least_B1 = top_BC[:, min(sampling.top_k, width) - 1, None]
        allowed_BC = allowed_BC & (top_BC >= least_B1)
        limited_BC = top_BC.masked_fill(~allowed_BC, -torch.inf)
        total_B1 = limited_BC.logsumexp(-1, keepdim=True)
    else:
        total_B1 = scaled_BV.logsumexp(-1, keepdim=True)
    log_probs_BC = top_BC.double() - total_B1.double()
    probs_BC = log_probs_BC.exp().masked_fill(~allowed_BC, 0.0)
    before_BC = probs_BC.cumsum(-1) - probs_BC
    inside_BC = allowed_BC & (before_BC < sampling.top_p)
    inside_BC[:, 0] = True  # the likeliest token is in every nucleus, however small
    last_B1 = inside_BC.sum(-1, keepdim=True) - 1
    inside_BC = allowed_BC & (top_BC >= top_BC.gather(1, last_B1))
    noise_BC = gumbel(keys_B[:, None], step, tokens_BC)
    noisy_BC = (log_probs_BC + noise_BC).masked_fill(~inside_BC, -torch.inf)
    next_B = tokens_BC.gather(1, noisy_BC.argmax(-1, keepdim=True))[:, 0]
    fits_B = ~inside_BC[:, -1] | (width == scaled_BV.shape[1])
    return next_B, fits_B


def gumbel(keys: Tensor, step: int, tokens: Tensor) -> Tensor:
    """Return standard Gumbel noise, float64, hashed from (key, step, token).

    Args:
        keys: int64, broadcastable to ``tokens``.
        step: the token's place after the prompt.
        tokens: int64.
    """
    stream = _mix(keys + _signed((step + 1) * _STEP))
    bits = _mix(stream ^ ((tokens + 1) * _TOKEN))
    uniform = (_shift_right(bits, 12).double() + 0.5) * 2.0**-52  # in (0, 1), both ends open
    return -(-uniform.log()).log()


def _mix(bits: Tensor) -> Tensor:
    """Scramble 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    bits = (bits ^ _shift_right(bits, 30)) * -0x40A7B892E31B1A47
    bits = (bits ^ _shift_right(bits, 27)) * -0x6B2FB644ECCEEE15
    return bits ^ _shift_right(bits, 31)


def _shift_right(bits: Tensor, places: int) -> Tensor:
    """Shift as if unsigned; int64's own shift drags the sign along."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def _signed(number: int) -> int:
    """Wrap to a signed 64-bit number, as int64 tensors do by themselves."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)
