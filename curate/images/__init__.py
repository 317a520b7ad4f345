"""Header check, bytes to RGB and back, resizing and hashes: no I/O, no network, no torch.

Everything here takes encoded bytes or ``uint8`` arrays of shape (height, width, 3) in RGB order,
and raises ``ImageFault`` for a picture that cannot be used, whatever a stranger's bytes contain.
"""

from __future__ import annotations

from curate.images.check import FORMATS, MAX_PIXELS, Header, ImageFault, check_header
from curate.images.codec import ENCODE_FORMATS, decode, encode
from curate.images.hashing import hamming, perceptual_hash, sha256_hex
from curate.images.listed import HashList, read_hash_list
from curate.images.prepare import Prepared, prepare
from curate.images.resize import RESIZE_MODES, ResizeMode, resize, resized_shape

__all__ = [
    "ENCODE_FORMATS",
    "FORMATS",
    "MAX_PIXELS",
    "RESIZE_MODES",
    "HashList",
    "Header",
    "ImageFault",
    "Prepared",
    "ResizeMode",
    "check_header",
    "decode",
    "encode",
    "hamming",
    "perceptual_hash",
    "prepare",
    "read_hash_list",
    "resize",
    "resized_shape",
    "sha256_hex",
]
