from collections.abc import Buffer

def shrink(
    source: Buffer, height: int, width: int, target: Buffer, rows: int, columns: int
) -> None: ...
