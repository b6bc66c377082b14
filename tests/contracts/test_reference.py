"""The README's tables are those that the metadata give."""

from __future__ import annotations

import os
import re

import pytest

from dev import reference

TEXT = reference.README.read_text(encoding="utf-8")


def part(name):
    return TEXT.split("<!-- made: %s -->" % name)[1].split("<!-- end: %s -->" % name)[0]


def test_the_tables_are_up_to_date():
    assert reference.main(["--check"]) == 0, "run python -m dev.reference"


def test_a_stale_table_is_noticed(tmp_path, monkeypatch, capsys):
    copy = tmp_path / "README.md"
    copy.write_text(TEXT.replace("| `priority_threshold` |", "| `priority` |"), encoding="utf-8")
    monkeypatch.setattr(reference, "README", copy)
    assert reference.main(["--check"]) == 1
    assert "python -m dev.reference" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert copy.read_text(encoding="utf-8") == TEXT


def test_a_missing_mark_is_noticed():
    with pytest.raises(ValueError):
        reference.update(TEXT.replace("<!-- end: rules -->", ""))


@pytest.mark.parametrize("kind", ["actions", "rules", "sensors", "aliases"])
def test_everything_has_a_row(kind):
    for content in reference.load(kind):
        assert "`%s`" % (content.get("class_name") or content["name"]) in part(kind)


def test_every_key_of_the_config_has_one_row_with_a_meaning():
    rows = [line for line in part("configuration").splitlines() if line.startswith("| `")]
    keys = [row.split("`")[1] for row in rows]
    assert len(keys) == len(set(keys)) > 50
    for key in ("pagerduty.api_key", "service_mapping[].integration_key", "stackflow.auth.token",
                "stackflow.states", "bidirectional_sync", "http.total_seconds"):
        assert key in keys
    assert [row for row in rows if row.endswith("|  |")] == []


def test_links_within_the_documents_lead_somewhere():
    root = reference.ROOT
    documents = [root / "README.md", root / "CONTRIBUTING.md"]
    for path in documents + sorted((root / "docs").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target:
                assert os.path.exists(str(path.parent / target)), "%s: %s" % (path.name, target)
