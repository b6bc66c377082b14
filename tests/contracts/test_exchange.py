"""What StackStorm Exchange's CI asks of a pack holds, and each lapse is found."""

import shutil

import pytest

from dev import exchange

LAPSES = {
    "compiles": ("actions/get_incident.py", "class", "clas"),
    "is_licensed": ("LICENSE", "Version 2.0", "Version 3.0"),
    "parses": ("aliases/check.yaml", "name:", "name: :"),
    "has_one_example": ("pagerduty_stackflow.yaml.example", "pagerduty:", "pagerduty: 7\nother:"),
    "registers": ("pack.yaml", "version: ", "version: v"),
}


def test_the_pack_would_be_taken():
    assert exchange.findings() == []


@pytest.mark.parametrize("check", list(LAPSES))
def test_a_lapse_is_found(tmp_path, check):
    name, old, new = LAPSES[check]
    root = tmp_path / "pack"
    shutil.copytree(exchange.ROOT, root, symlinks=True, ignore=shutil.ignore_patterns(
        ".*", "__pycache__", "dev", "tests"))
    path = root / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert check in [line.partition(":")[0] for line in exchange.findings(root)]
