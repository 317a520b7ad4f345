"""CapFilt on a GPU: how near the vision towers and the whole come to what the device can do.

    python benchmarks/gpu.py                      # a few minutes on one GPU
    python benchmarks/gpu.py --device cpu --quick # a smoke test of the benchmark itself

Needs torch, transformers, Pillow and curate.models alone. Checkpoints are of BLIP-large's and CLIP
ViT-L/14's shape with random weights. Measured: the peak of a bfloat16 matrix product; the vision
towers' images a second and share of that peak; BLIP-large at 384 pixels from JPEG bytes to one
caption of 20 tokens and ITC and ITM of two texts, by two models; the same by the loop that people
write, one image at a time in float32.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blip_loops import TOKENS, loaded_by_users, practice_pairs, write_checkpoints
from PIL import Image

from curate.models.base import Writing
from curate.models.blip import BlipCaptioner, BlipScorer
from curate.models.checkpoints import fetch
from curate.models.sampling import Sampling


def seconds(call: Callable[[], Any], device: torch.device, *, repeat: int) -> float:
    """Return the mean seconds of a call, once it is warm."""
    for _ in range(2):
        call()
    _wait(device)
    begun = time.perf_counter()
    for _ in range(repeat):
        call()
    _wait(device)
    return (time.perf_counter() - begun) / repeat


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_peak(device: torch.device, *, size: int, repeat: int) -> float:
    """Return floating point operations a second of a square bfloat16 product."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device, repeat=repeat)


def vit_flops(config: Any) -> float:
    """Return floating point operations of a plain ViT on one image, multiply and add apart.

    Args:
        config: with hidden_size, intermediate_size, num_hidden_layers, image_size, patch_size.
    """
    patches = (config.image_size // config.patch_size) ** 2
    tokens, width = patches + 1, config.hidden_size
    layer = 4 * width**2 + 2 * width * config.intermediate_size
    attention = 2 * tokens * width
    embed = patches * 3 * config.patch_size**2 * width
    return 2.0 * (config.num_hidden_layers * tokens * (layer + attention) + embed)


@torch.no_grad()
def tower(
    model: Any, flops: float, side: int, device: torch.device, peak: float, batches: Sequence[int]
) -> dict[str, float]:
    """Return the best images a second of a vision tower in bfloat16, and its share of the peak."""
    best: dict[str, float] = {"images_per_s": 0.0}
    for batch in batches:
        pixels = torch.randn(batch, 3, side, side, device=device, dtype=torch.bfloat16)
        try:
            rate = batch / seconds(lambda: model(pixel_values=pixels), device, repeat=5)  # noqa: B023
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if rate > best["images_per_s"]:
            best = {"images_per_s": rate, "batch": batch, "share_of_peak": rate * flops / peak}
    return best


def capfilt(
    folder: Path, device: torch.device, count: int, batch: int, threads: int
) -> dict[str, Any]:
    """Caption and score from bytes, decoding in threads ahead of the models."""
    bodies, texts = practice_pairs(min(count, 256))
    bodies, texts = (list(np.resize(np.array(x, object), count)) for x in (bodies, texts))
    writing = Writing(
        sampling=Sampling(top_p=0.9, repetition_penalty=1.1, min_tokens=TOKENS),
        max_tokens=TOKENS,
    )
    dtype = torch.bfloat16
    writer = BlipCaptioner(
        fetch(str(folder / "captioner"), None), writing, device=device, dtype=dtype
    )
    judge = BlipScorer(
        fetch(str(folder / "filter"), None), device=device, dtype=dtype, itm_token="enc"
    )

    def prepared(body: bytes) -> np.ndarray:
        return writer.prepare(np.asarray(Image.open(io.BytesIO(body)).convert("RGB")))

    spent = {"wait": 0.0, "caption": 0.0, "score": 0.0}

    def go(total: int) -> float:
        begun = time.perf_counter()
        groups = [range(start, min(start + batch, total)) for start in range(0, total, batch)]
        ahead = [[pool.submit(prepared, bodies[i]) for i in group] for group in groups[:2]]
        for number, group in enumerate(groups):
            at = time.perf_counter()
            if number + 2 < len(groups):
                ahead.append([pool.submit(prepared, bodies[i]) for i in groups[number + 2]])
            images = np.stack([future.result() for future in ahead[number]])
            ahead[number] = []
            spent["wait"] += time.perf_counter() - at
            at = time.perf_counter()
            uids = [f"{i:032x}" for i in group]
            captions = writer.caption(images, uids, [0])
            spent["caption"] += time.perf_counter() - at
            at = time.perf_counter()
            some = [
                text for i, own in zip(group, captions, strict=True) for text in (texts[i], *own)
            ]
            judge.score(images, some, [i // 2 for i in range(len(some))])
            spent["score"] += time.perf_counter() - at
        _wait(device)
        return time.perf_counter() - begun

    with ThreadPoolExecutor(threads) as pool:
        go(min(count, 2 * batch))
        spent.update(dict.fromkeys(spent, 0.0))
        took = go(count)
    shares = {name: round(value / took, 3) for name, value in spent.items()}
    return {"images_per_s": count / took, "batch": batch, "threads": threads, "time": shares}


def users_loop(folder: Path, device: torch.device, count: int) -> dict[str, float]:
    """Run the loop of batch 1 in float32."""
    bodies, texts = practice_pairs(count + 2)
    paths = folder / "captioner", folder / "filter"
    with loaded_by_users(*paths, device=str(device), dtype=torch.float32) as (step, _):
        for i in range(2):
            step(bodies[i : i + 1], texts[i : i + 1])
        _wait(device)
        begun = time.perf_counter()
        for i in range(2, count + 2):
            step(bodies[i : i + 1], texts[i : i + 1])
        _wait(device)
        return {"images_per_s": count / (time.perf_counter() - begun)}


def main() -> None:
    """Measure everything; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="a smoke test, no measurement")
    chosen = parser.parse_args()
    device, quick = torch.device(chosen.device), chosen.quick
    from transformers import BlipConfig, BlipVisionModel, CLIPVisionConfig, CLIPVisionModel

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    peak = matrix_peak(device, size=512 if quick else 8192, repeat=2 if quick else 30)
    found: dict[str, Any] = {"device": name, "torch": torch.__version__, "peak_tflops": peak / 1e12}
    size, side = ("base", 96) if quick else ("large", 384)
    batches = (2,) if quick else (16, 32, 64, 128, 256)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_checkpoints(folder, size=size, image_size=side)
        blip_config = BlipConfig.from_pretrained(folder / "filter").vision_config
        blip = BlipVisionModel(blip_config).to(device, torch.bfloat16).eval()
        found["blip_tower"] = tower(blip, vit_flops(blip.config), side, device, peak, batches)
        config = CLIPVisionConfig(
            **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24},
            **{"num_attention_heads": 16, "patch_size": 14, "image_size": 224},
        )
        if quick:
            config.num_hidden_layers = 2
        clip = CLIPVisionModel(config).to(device, torch.bfloat16).eval()
        found["clip_tower"] = tower(clip, vit_flops(config), 224, device, peak, batches)
        del blip, clip
        threads = os.cpu_count() or 4
        runs = [(4, 2)] if quick else [(1024, 32), (2048, 64), (2048, 128)]
        found["capfilt"] = [capfilt(folder, device, n, batch, threads) for n, batch in runs]
        found["loop"] = users_loop(folder, device, 2 if quick else 24)
    best = max(one["images_per_s"] for one in found["capfilt"])
    found["times_the_loop"] = best / found["loop"]["images_per_s"]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
