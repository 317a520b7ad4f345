"""Build curate/assets/quickstart from Debian's tuxpaint-stamps-default package.

    python scripts/build_quickstart_assets.py tuxpaint-stamps-default_2022.06.04-1_all.deb

`split` in stamps.py chooses the pictures. The same package gives the same folder, byte for byte,
with one version of Pillow.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stamps import STAMPS, jpeg, read_stamps, split, unpacked

ASSETS = Path(__file__).resolve().parents[1] / "curate" / "assets" / "quickstart"
GPL_2 = Path("/usr/share/common-licenses/GPL-2")

LONGEST_SIDE = 288
"""Pixels of a shipped picture's longer side, at most; nothing is enlarged."""

QUALITY = 85
"""JPEG quality of a shipped picture."""


def notice(version: str, digest: str, count: int) -> str:
    """Return the text of NOTICE: where the pictures come from and what was done to them."""
    return f"""\
Pictures and descriptions of curate's quickstart

The {count} pictures in pictures/ and the texts in captions.jsonl come from Tux Paint Stamps
(http://sourceforge.net/projects/tuxpaint), as packaged by Debian:

  package   tuxpaint-stamps-default
  version   {version}
  sha256    {digest}  (the .deb)

Copyright 2002-2022 by Bill Kendrick <bill@newbreedsoftware.com> and the contributors of Tux Paint
Stamps. Among those whom its changelog names for new pictures: Anna Bujak, Nicu Buculei, Albert
Cahalan, Caroline Ford, Chris Goerner, Karl Ove Hufthammer, Ivana, Jean of DoodleLoo's, Steve Karg,
Ed Montgomery, John O'Sullivan, Akkana Peck, Pere Pujal i Carabantes, Jim Trice, Justin Zeigler and
Stas Zytkiewicz (Childsplay); in the public domain, NOAA, the U.S. Air Force and Jorge Barrios.

They are free software under the GNU General Public License, version 2 or (at your option) any later
version; LICENSE holds the text of version 2. This licence covers this folder alone: curate's own
code is under Apache-2.0 and is not derived from it.

Left out: pictures that the package's changelog names as GFDL, Creative Commons, stock photographs
or from Wikipedia without further terms.

Changed: each picture was laid on white, cut to what is visible with a margin of 4%, made smaller
where its longer side was more than {LONGEST_SIDE} pixels, and saved as JPEG, quality {QUALITY}.
Each text is the first line of the picture's description, unchanged. `source` in captions.jsonl
names the original PNG, the form preferred for modification. All of it is done by
scripts/build_quickstart_assets.py; running it on the package above builds this folder again.
"""


def field(package: Path, name: str) -> str:
    """Return a field of a Debian package's control file."""
    command = ["dpkg-deb", "--field", str(package), name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def build(package: Path, out: Path) -> int:
    """Write the assets folder anew; return the number of pictures.

    Raises:
        SystemExit: the package is not the stamps package, or cannot be unpacked.
    """
    with unpacked(package) as folder:
        stamps = {stamp.path: stamp for stamp in read_stamps(folder / STAMPS)}
    if not stamps:
        raise SystemExit(f"{package} holds no described pictures under {STAMPS}")
    pictures = out / "pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    lines = []
    for path in split(list(stamps.values())).shipped:
        stamp = stamps[path]
        file = Path(path).with_suffix(".jpg").as_posix().replace("/", "-").lower()
        data = jpeg(stamp.rgb, longest_side=LONGEST_SIDE, quality=QUALITY)
        (pictures / file).write_bytes(data)
        entry = {"file": f"pictures/{file}", "text": stamp.text, "source": path, "kind": stamp.kind}
        lines.append(json.dumps(entry, ensure_ascii=False))
    (out / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    (out / "NOTICE").write_text(notice(field(package, "Version"), digest, len(lines)), "utf-8")
    shutil.copyfile(GPL_2, out / "LICENSE")
    return len(lines)


def main(arguments: Sequence[str]) -> None:
    """Build the folder and say what is in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("package", type=Path, help="tuxpaint-stamps-default .deb")
    parser.add_argument("--out", type=Path, default=ASSETS, help="default: %(default)s")
    options = parser.parse_args(arguments)
    count = build(options.package, options.out)
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    print(f"{options.out}: {count} pictures, {size / 2**20:.2f} MiB in all")


if __name__ == "__main__":
    main(sys.argv[1:])
