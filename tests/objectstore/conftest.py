from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.objectstore.server import BUCKET, S3Server, fresh_place
from tests.recipes import installed_plugin


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    from s3fs import S3FileSystem

    with installed_plugin(), S3Server().running() as server:
        S3FileSystem.clear_instance_cache()
        S3FileSystem().makedirs(BUCKET, exist_ok=True)  # another module may have made it
        yield server
        S3FileSystem.clear_instance_cache()


@pytest.fixture
def place(s3: S3Server) -> str:
    return fresh_place()
