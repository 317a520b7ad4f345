"""The training loop against open_clip's: the same towers, weights, batch, precision and shards.

    python benchmarks/pretrain.py --peer envs/open_clip/bin/python     # about ten minutes
    python benchmarks/pretrain.py --peer ... --quick                   # a smoke test of itself

PEER is an interpreter with open_clip_torch and its training reader (docs/export.md makes one);
CURATE_OPEN_CLIP_PYTHON names it too. It imports our network, nothing else of ours, so that both
train the very same module: two transformers, a picture of 224 pixels, texts of up to 32 tokens.
Theirs is open_clip_train's `train_one_epoch` over its own WebDataset reader, ours is `curate
pretrain` over the same tars, pictures decoded anew in every epoch. AdamW, rate and clipping are the
same; each side augments in its own way, by a random crop of 90% or more, and pads texts in its own
way, theirs all to 32 tokens, ours to the batch's longest.

Each way runs in a process of its own on the same number of threads, they take turns, and the ratio
is taken turn by turn: samples a second after the first steps, which start readers and warm up.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SIDE, TOKENS, SHARDS, WARM = 224, 32, 8, 4
MEAN, STD = [127.5] * 3, [127.5] * 3
LR, BETAS, DECAY, CLIP = 5e-4, (0.9, 0.98), 0.2, 1.0
TOWERS = {
    **{"image_size": SIDE, "max_text_tokens": TOKENS, "projection_size": 192},
    **{"image_mean": MEAN, "image_std": STD, "image_tower": "clip", "text_tower": "clip"},
}
WIDTHS = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}


def write_shards(folder: Path, count: int) -> None:
    """Write as many samples, evenly over the shards, and what open_clip wants to know of them."""
    from blip_loops import practice_pairs

    bodies, texts = practice_pairs(count, side=320)
    per_shard = count // SHARDS
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for row in range(shard * per_shard, (shard + 1) * per_shard):
                for suffix, body in (("jpg", bodies[row]), ("txt", texts[row].encode())):
                    member = tarfile.TarInfo(f"{row:06d}.{suffix}")
                    member.size = len(body)
                    tar.addfile(member, io.BytesIO(body))


def write_start(folder: Path, layers: int) -> None:
    """Write the model that both begin from."""
    import torch

    from curate.core.pairs import TableConfig, open_tables
    from curate.pretrain.checkpoint import save_checkpoint
    from curate.pretrain.config import PretrainConfig
    from curate.pretrain.start import start_model

    torch.manual_seed(0)
    shape = {**WIDTHS, "num_hidden_layers": layers}
    model = {**TOWERS, "tower_config": {**shape, "patch_size": 16}, "text_config": shape}
    recipe = PretrainConfig(
        **{"name": "start", "architecture": "dual_encoder", "objectives": ["itc"], "epochs": 1},
        start={"vocabulary": 2000, "model": model},
    )
    source = open_tables([TableConfig(path=str(folder / "*.tar"))])
    started = start_model(recipe.start, source.texts(), recipe.architecture)
    save_checkpoint(folder / "start", started.model, started.tokenizer, dtype="float32")


def by_curate(folder: Path, batches: int, batch: int, precision: str) -> dict[str, float]:
    """Train by our loop."""
    from curate.pretrain.config import PretrainConfig
    from curate.pretrain.trainer import pretrain

    recipe = PretrainConfig(
        **{"name": "ours", "architecture": "dual_encoder", "objectives": ["itc"], "seed": 0},
        start={"from": folder / "start"},
        data={"tables": [{"path": str(folder / "*.tar")}], "max_text_tokens": TOKENS},
        augment={"crop_area": (0.9, 1.0)},
        optim={"lr": LR, "betas": BETAS, "weight_decay": DECAY, "clip": CLIP, "warmup": 0},
        **{"steps": WARM + batches, "batch_size": batch, "precision": precision, "device": "cpu"},
        log_every=WARM,
    )
    with tempfile.TemporaryDirectory(prefix="curate-benchmark-") as name:
        result = pretrain(recipe, Path(name), echo=lambda line: None)
        rows = [json.loads(line) for line in result.metrics.read_text().splitlines()]
    seconds = [WARM * batch / row["images_per_s"] for row in rows[1:]]
    waited = sum(row["data_wait"] * each for row, each in zip(rows[1:], seconds, strict=True))
    return {
        "rate": WARM * batch * len(seconds) / sum(seconds),
        "waited": waited / sum(seconds),
        "loss": rows[-1]["loss"],
    }


def by_open_clip(folder: Path, batches: int, batch: int, precision: str) -> dict[str, float]:
    """Train by open_clip's loop, our network inside."""
    import torch
    from open_clip import ClipLoss, image_transform
    from open_clip_train.data import get_wds_dataset
    from open_clip_train.train import train_one_epoch

    from curate.models.dual_encoder import DualEncoder
    from curate.models.med_tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder / "start")
    inner = DualEncoder.from_pretrained(folder / "start", dtype=torch.float32)

    class Towers(torch.nn.Module):
        """Our network, answering as open_clip's."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = inner
            self.logit_scale = inner.log_logit_scale

        def forward(self, pixels: Any, ids: Any) -> dict[str, Any]:
            images = inner.project_images(inner.image_tower(pixels))
            texts = inner.encode_texts(ids, (ids != inner.config.pad_token_id).long())
            scale = self.logit_scale.exp()
            return {"image_features": images, "text_features": texts, "logit_scale": scale}

    def tokens(text: str) -> Any:
        return tokenizer(
            [text], padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
        )["input_ids"]

    args = SimpleNamespace(
        **{"train_data": str(folder / f"{{00000..{SHARDS - 1:05d}}}.tar"), "seed": 0},
        **{"train_num_samples": batches * batch, "train_data_upsampling_factors": None},
        **{"dataset_resampled": False, "workers": 1, "world_size": 1, "batch_size": batch},
        **{"device": "cpu", "precision": {"fp32": "fp32", "bf16": "amp_bf16"}[precision]},
        **{"accum_freq": 1, "distill": False, "skip_scheduler": True, "grad_clip_norm": CLIP},
        **{"horovod": False, "distributed": False, "rank": 0, "local_rank": 0, "wandb": False},
        **{"log_every_n_steps": 10_000, "log_local": False},
    )
    normal = [value / 255 for value in MEAN], [value / 255 for value in STD]
    picture = image_transform(SIDE, is_train=True, mean=normal[0], std=normal[1])
    data = {"train": get_wds_dataset(args, picture, is_train=True, epoch=0, tokenizer=tokens)}
    model = Towers()
    decays = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decays, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=LR,
        betas=BETAS,
    )
    loss, stamps, losses = ClipLoss(), [], []
    model.register_forward_hook(lambda *_: stamps.append(time.monotonic()))

    def watched(**given: Any) -> Any:
        found = loss(**given)
        losses.append(float(found["contrastive_loss"].detach()))
        return found

    for epoch in range(2):  # the first starts the readers, and is not counted
        train_one_epoch(model, data, watched, epoch, optimizer, None, None, None, args)
    counted = stamps[len(stamps) // 2 :]
    rate = batch * (len(counted) - 1 - WARM) / (counted[-1] - counted[WARM])
    return {"rate": rate, "loss": losses[-1]}


def one_way(way: str, given: argparse.Namespace) -> dict[str, float]:
    """Train by one way in this process."""
    import torch

    torch.set_num_threads(given.threads)
    by = by_curate if way == "curate" else by_open_clip
    return by(given.folder, given.batches, given.batch, given.precision)


def turn(way: str, python: Path, folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """Run one way in a process of its own."""
    command = [str(python), __file__, "--way", way, "--folder", str(folder)]
    for name in ("batches", "batch", "precision", "threads"):
        command += [f"--{name}", str(getattr(given, name))]
    root = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false"}
    env["OMP_NUM_THREADS"] = str(given.threads)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=env)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Compare, or run one way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    peer = os.environ.get("CURATE_OPEN_CLIP_PYTHON")
    parser.add_argument("--peer", type=Path, default=peer, help="interpreter with open_clip")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batches", type=int, default=24, help="counted, of each turn")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--way", choices=("curate", "open_clip"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(one_way(given.way, given)))
        return
    if given.peer is None:
        parser.error("--peer or CURATE_OPEN_CLIP_PYTHON: an interpreter that has open_clip")
    if given.quick:
        given.turns, given.batches, given.batch, given.layers = 1, 8, 8, 1
    ratios, waits = [], []
    with tempfile.TemporaryDirectory(prefix="curate-benchmark-") as name:
        folder = Path(name)
        write_shards(folder, given.batches * given.batch)
        write_start(folder, given.layers)
        for number in range(given.turns):
            ours = turn("curate", Path(sys.executable), folder, given)
            theirs = turn("open_clip", given.peer, folder, given)
            ratios.append(ours["rate"] / theirs["rate"])
            waits.append(ours["waited"])
            print(
                f"turn {number + 1}: ratio {ratios[-1]:.3f}, waited {waits[-1]:.1%}, loss "
                f"{ours['loss']:.3f} and {theirs['loss']:.3f}",
                flush=True,
            )
    low, high = min(ratios), max(ratios)
    print(
        f"curate / open_clip, samples a second: {statistics.median(ratios):.3f} "
        f"({low:.3f} to {high:.3f}); our trainer waited for data {statistics.median(waits):.1%} "
        f"of its time; {given.precision}, batch {given.batch}, {given.threads} threads"
    )


if __name__ == "__main__":
    main()
