"""Plant web noise at known rates in Flickr8k's texts: what the proof curates.

    python scripts/build_proof_tables.py FLICKR8K_TRAIN ALT_TEXTS --out DIR

FLICKR8K_TRAIN is a Parquet table of name, image and captions (Hodosh et al. 2013, 6,000
photographs); ALT_TEXTS one of real alt texts in a column TEXT. Writes

- DIR/noisy/00000.tar and so on: 5,000 photographs with one text each, as WebDataset;
- DIR/clean.parquet: the other 1,000 with all their captions, for captioner and filter;
- DIR/truth.parquet: what was planted (key, kind, text), which nothing in the experiment reads.

Of the texts 40% are a caption of the photograph; 25% one of another photograph; 15% a near miss, a
caption with a noun, colour or number swapped; 12% real alt text of something else; 8% a caption cut
short. The draw is by --seed. A photograph is in one of the two sets alone.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections import Counter
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from curate.evaluate.near_misses import near_miss

CLEAN = 1000
SHARD = 1000
RATES = {"good": 0.40, "mismatched": 0.25, "near_miss": 0.15, "alt_text": 0.12, "cut": 0.08}


def cut_short(caption: str, random: Random) -> str:
    """Return the first one to three words."""
    words = caption.split()
    return " ".join(words[: random.randint(1, min(3, max(1, len(words) - 1)))])


def planted(
    captions: list[list[str]], alt_texts: list[str], random: Random
) -> list[tuple[str, str]]:
    """Return (kind, text) for every photograph."""
    kinds = random.choices(list(RATES), weights=list(RATES.values()), k=len(captions))
    found = []
    for number, kind in enumerate(kinds):
        caption = random.choice(captions[number])
        text: str | None = caption
        if kind == "mismatched":
            other = random.choice([i for i in range(len(captions)) if i != number])
            text = random.choice(captions[other])
        elif kind == "near_miss":
            text = near_miss(caption, random)
        elif kind == "alt_text":
            text = random.choice(alt_texts)
        elif kind == "cut":
            text = cut_short(caption, random)
        found.append((kind, text) if text is not None else ("good", caption))
    return found


def write_tar(path: Path, samples: list[tuple[str, bytes, str]]) -> None:
    """Write one shard; the same samples give the same bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, image, text in samples:
            for suffix, body in (("jpg", image), ("txt", text.encode())):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size, member.mode = len(body), 0o644
                tar.addfile(member, io.BytesIO(body))


def main() -> None:
    """Write the sets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("flickr8k", type=Path)
    parser.add_argument("alt_texts", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    random = Random(chosen.seed)
    table = pq.read_table(chosen.flickr8k)
    order = random.sample(range(table.num_rows), table.num_rows)
    (chosen.out / "noisy").mkdir(parents=True, exist_ok=True)
    clean = table.take(pa.array(sorted(order[:CLEAN])))
    pq.write_table(clean, chosen.out / "clean.parquet")
    noisy = table.take(pa.array(sorted(order[CLEAN:])))
    alt_texts = [
        text
        for text in pq.read_table(chosen.alt_texts)["TEXT"].to_pylist()
        if text and text.strip()
    ]
    said = planted(noisy["captions"].to_pylist(), alt_texts, random)
    keys = [f"{number:06d}" for number in range(noisy.num_rows)]
    images = noisy["image"].to_pylist()
    samples = [(key, image, text) for key, image, (_, text) in zip(keys, images, said, strict=True)]
    for start in range(0, len(samples), SHARD):
        path = chosen.out / "noisy" / f"{start // SHARD:05d}.tar"
        write_tar(path, samples[start : start + SHARD])
    kinds, texts = zip(*said, strict=True)
    truth = pa.table({"key": keys, "kind": list(kinds), "text": list(texts)})
    pq.write_table(truth, chosen.out / "truth.parquet")
    print(f"{noisy.num_rows} noisy, {clean.num_rows} clean; {dict(Counter(kinds))}")


if __name__ == "__main__":
    main()
