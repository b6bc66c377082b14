"""The symbolic links survive the ways in which a pack gets to where it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINKS = {"actions/lib": "../lib", "actions/workflows": "../workflows",
         "sensors/pagerduty_stackflow": "../lib/pagerduty_stackflow"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The pack as `st2 pack install` gets it."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    target = tmp_path_factory.mktemp("clone") / "pack"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    return target


def links_of(pack):
    """Every symbolic link below a folder, and where it leads."""
    found = {}
    for folder, folders, files in os.walk(str(pack)):
        for name in folders + files:
            path = Path(folder, name)
            if path.is_symlink():
                found[str(path.relative_to(pack))] = os.readlink(str(path))
    return found


@pytest.mark.parametrize("copy", [
    lambda source, target: source.rename(target),
    lambda source, target: subprocess.run(["cp", "-a", str(source), str(target)], check=True),
    lambda source, target: shutil.copytree(str(source), str(target), symlinks=True)],
    ids=["moved", "cp -a", "copytree"])
def test_the_links_lead_to_the_same_code_wherever_the_pack_is(clone, tmp_path, copy):
    source, pack = tmp_path / "source", tmp_path / "elsewhere" / "pagerduty_stackflow"
    shutil.copytree(str(clone), str(source), symlinks=True)
    pack.parent.mkdir()
    copy(source, pack)
    shutil.rmtree(str(source), ignore_errors=True)
    assert links_of(pack) == LINKS
    assert (pack / "actions" / "workflows" / "verify_integration.yaml").is_file()
    for folder in ("actions/lib", "sensors"):
        found = subprocess.run(
            [sys.executable, "-S", "-c", "import pagerduty_stackflow as it; print(it.__file__)"],
            env={"PYTHONPATH": str(pack / folder)}, stdout=subprocess.PIPE, check=True)
        assert Path(found.stdout.decode().strip()).resolve().parent == (
            pack / "lib" / "pagerduty_stackflow")
