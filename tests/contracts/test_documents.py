"""The documents name what is there: error kinds, fields of /healthz, reasons, checks, settings."""

from __future__ import annotations

import ast
import logging
import re
from pathlib import Path

import pytest
import yaml
from pack_copy import copy_pack

from dev import reference
from dev.site import PLATFORM, LocalSite, Site
from pagerduty_stackflow.diagnosis import STEPS
from pagerduty_stackflow.listener import DEFAULT_ADDRESS, STATUSES, Listener

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
UNKNOWNS = (ROOT / "docs" / "unknowns.md").read_text(encoding="utf-8")
LIB = sorted((ROOT / "lib").rglob("*.py"))
SCHEMA = yaml.safe_load((ROOT / "config.schema.yaml").read_text(encoding="utf-8"))
KEYS = {path for path, _ in reference.keys(SCHEMA)}
PREFIXES = ("pagerduty", "stackflow", "integration", "webhook", "duplicate", "other", "previous")
HEALTH = (".received", ".dispatched", ".refused", ".seconds_since_last_event")
GUIDE = ("Events do not reach PagerDuty", "401 on API calls", "Duplicate incidents",
         "Wrong assignment group")
"""The rows of the guide's troubleshooting table."""


def rows(text, title, column=0):
    """The names in backticks in a column of the table whose first title is this."""
    table = text.split("\n| %s |" % title)[1].split("\n\n")[0]
    cells = [line.split(" | ")[column] for line in table.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def code():
    """Every node of the pack's code."""
    for path in LIB:
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def error_kinds():
    """`kind = "..."` of a class, and `{"kind": "..."}`."""
    pairs = []
    for node in code():
        if isinstance(node, ast.ClassDef):
            pairs += [(one.targets[0], one.value) for one in node.body
                      if isinstance(one, ast.Assign)]
        elif isinstance(node, ast.Dict):
            pairs += zip(node.keys, node.values)
    return {value.value for name, value in pairs if isinstance(value, ast.Constant) and "kind" in (
        getattr(name, "id", None), getattr(name, "value", None))}


def reasons():
    """`Refused("...", ...)`, and the kinds that the listener answers with a status."""
    calls = [node for node in code() if isinstance(node, ast.Call) and node.args and
             getattr(node.func, "id", None) == "Refused"]
    return {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)} | set(
        STATUSES)


def test_every_error_kind_has_a_row_and_every_row_a_kind():
    assert {"defect", "routing"} < error_kinds()
    assert sorted(rows(OPERATIONS, "kind")) == sorted(error_kinds())


def test_every_field_of_healthz_has_a_row_and_every_row_a_field():
    listener = Listener(None, DEFAULT_ADDRESS, None, "wrong", logging.getLogger("x"))
    fields = set()
    for name, value in listener.health().items():
        inner = value if isinstance(value, dict) else None
        fields |= {"%s.%s" % (name, one) for one in inner} if inner is not None else {name}
    assert set(rows(OPERATIONS, "field")) == fields


def test_every_reason_of_a_refusal_has_a_row_and_every_row_a_reason():
    assert sorted(rows(OPERATIONS, "reason in `refused`")) == sorted(reasons())


@pytest.mark.parametrize("text", [OPERATIONS, UNKNOWNS])
def test_names_of_checks_and_settings_exist(text):
    known = {step.name for step in STEPS} | {path.rpartition(".")[2] for path in KEYS}
    known |= {path.stem for path in (ROOT / "rules").glob("*.yaml")}
    for name in re.findall(r"`((?:%s)_\w+)`" % "|".join(PREFIXES), text):
        assert name in known, name
    for name in re.findall(r"`((?:pagerduty|stackflow|templates|http|aws)\.[\w.]+)`", text):
        assert name in KEYS or name.endswith(HEALTH), name


def test_every_row_of_the_unknowns_says_what_the_pack_does_and_names_settings_that_exist():
    tables = [line for line in UNKNOWNS.splitlines() if line.startswith("| ")]
    described = [line.strip("| ").split(" | ") for line in tables
                 if not line.startswith(("| open", "|---"))]
    assert len(described) > 40
    for row in described:
        assert len(row) in (3, 4) and row[1], row
        for name in re.findall(r"`([a-z_.]+)` ?(?:\(|,|$)", row[2]):
            assert name in KEYS, name


@pytest.mark.parametrize("title", GUIDE)
def test_each_trouble_of_the_guide_has_its_runbook(title):
    assert "\n## %s\n" % title in OPERATIONS


def test_anchors_within_the_documents_lead_to_headings():
    for text in (OPERATIONS, UNKNOWNS):
        for name, anchor in re.findall(r"\]\((\w*(?:\.md)?)#([^)]+)\)", text):
            target = (ROOT / "docs" / name).read_text(encoding="utf-8") if name else text
            headings = {re.sub(r"[^\w\- ]", "", line.lstrip("# ")).lower().replace(" ", "-")
                        for line in target.splitlines() if line.startswith("#")}
            assert anchor in headings, anchor


def test_the_readmes_example_of_an_own_rule_does_what_it_says(tmp_path):
    text = re.search(r"```yaml\n(name: .+?)```", README, re.S).group(1)
    pack = copy_pack(tmp_path / "pack")
    rule = pack / "rules" / "own.yaml"
    with Site() as another:  # every site has the same ids
        rule.write_text(text.replace("PXXXXXX", another.command_policy).replace(
            "pack: default", "pack: pagerduty_stackflow"), encoding="utf-8")
    with LocalSite(pack=str(pack)) as site:
        number = site.stackflow.create_incident("Checkout is down", "P1", group=PLATFORM)
        site.settle(site.idle)
        site.stackflow.declare_major(number)
        site.settle(site.idle)
        assert site.paged(number).assignees == [site.kim]


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_the_files_that_a_document_names_exist(path):
    text = path.read_text(encoding="utf-8")
    names = set(re.findall(r"`(?:[\w/]+/)?(\w+\.py)`", text))
    names.update(name + ".py" for name in re.findall(r"`(test_\w+)`", text))
    there = {file.name for folder in ("lib", "tests", "dev", "actions", "sensors")
             for file in (ROOT / folder).rglob("*.py")}
    assert names - there == set()
