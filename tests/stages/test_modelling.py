from __future__ import annotations

import subprocess
import sys

from curate.core.families import kinds


def test_settings_are_read_without_torch() -> None:
    modules = [
        kind.module
        for family in ("captioners", "scorers", "selectors")
        for kind in kinds(family).values()
        if kind.module.startswith("curate.")
    ]
    assert {"curate.stages.captioners.blip", "curate.stages.scorers.med"} <= set(modules)
    imports = "; ".join(f"import {module}" for module in modules)
    check = "import sys; assert not {'torch', 'transformers', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{imports}; {check}"], check=True)
