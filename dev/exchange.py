"""`make lint`: what StackStorm Exchange's CI asks of a pack, besides flake8 and pylint.

Its steps "compile", "license-check", "configs-check", "metadata-check" and "register"; the last two
by the local platform, which checks metadata as StackStorm does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Callable, List

import yaml

from dev.local_stackstorm import config, pack, templates
from dev.local_stackstorm.datastore import decrypt

ROOT = Path(__file__).resolve().parents[1]
LICENSE = ("Apache License", "Version 2.0", "www.apache.org/licenses/LICENSE-2.0")
FOLDERS = ("actions", "aliases", "dev", "lib", "policies", "rules", "sensors", "tests", "workflows")
"""Where the pack's own files are; environments may lie beside them."""


def compiles(root: Path) -> None:
    """Every module is Python."""
    for path in _files(root, "*.py"):
        compile(path.read_bytes(), str(path), "exec")


def is_licensed(root: Path) -> None:
    """LICENSE is that of the Apache Software Foundation, in its second version."""
    text = (root / "LICENSE").read_text(encoding="utf-8")
    missing = [words for words in LICENSE if words not in text]
    if missing:
        raise ValueError("LICENSE does not say %s" % ", ".join(missing))


def parses(root: Path) -> None:
    """Every file of YAML or JSON can be read as such."""
    for pattern, read in (("*.yaml", yaml.safe_load), ("*.yml", yaml.safe_load),
                          ("*.json", json.loads)):
        for path in _files(root, pattern):
            try:
                read(path.read_text(encoding="utf-8"))
            except (ValueError, yaml.YAMLError) as error:
                raise ValueError("%s: %s" % (path.relative_to(root), error)) from None


def has_one_example(root: Path) -> None:
    """There is one example of a config, and it is valid against the schema."""
    example, = root.glob("*.yaml.example")
    schema = yaml.safe_load((root / "config.schema.yaml").read_text(encoding="utf-8"))
    config.check(schema, yaml.safe_load(example.read_text(encoding="utf-8")))


def registers(root: Path) -> None:
    """Pack, triggers, sensors, actions, workflows, rules, aliases and policies can be registered, as
    a pack for Python 3 whose changes are listed.
    """
    found = pack.Pack(str(root), templates.environment(decrypt), {})
    meta = yaml.safe_load((root / "pack.yaml").read_text(encoding="utf-8"))
    if "3" not in meta.get("python_versions", ()):
        raise ValueError("pack.yaml: python_versions lacks 3, so failures would be ignored")
    if meta["version"] not in (root / "CHANGES.md").read_text(encoding="utf-8"):
        raise ValueError("CHANGES.md does not name version %s of %s" % (meta["version"], found.ref))


CHECKS: List[Callable[[Path], None]] = [compiles, is_licensed, parses, has_one_example, registers]


def findings(root: Path = ROOT) -> List[str]:
    """What is wrong, a line for each check that fails."""
    wrong = []
    for check in CHECKS:
        try:
            check(root)
        except Exception as error:  # whatever a check stumbles over is its finding
            wrong.append("%s: %s" % (check.__name__, pack.explain(error)))
    return wrong


def _files(root: Path, pattern: str) -> List[Path]:
    """Those of the root and of the pack's folders, symbolic links left out."""
    return sorted(root.glob(pattern)) + [path for folder in FOLDERS
                                         for path in sorted((root / folder).rglob(pattern))]


if __name__ == "__main__":
    WRONG = findings()
    print("\n".join(WRONG) or "StackStorm Exchange would take the pack")
    sys.exit(bool(WRONG))
