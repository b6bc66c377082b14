"""A copy of the pack's own files, to be changed by a test."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACK = ("pack.yaml", "config.schema.yaml", "actions", "sensors", "rules", "workflows", "aliases",
        "lib")


def copy_pack(folder: Path) -> Path:
    """Copy what StackStorm loads into a new folder, links as links; returns it."""
    folder.mkdir()
    for each in PACK:
        source = ROOT / each
        if source.is_dir():
            shutil.copytree(str(source), str(folder / each), symlinks=True)
        else:
            shutil.copy(str(source), str(folder / each))
    return folder
