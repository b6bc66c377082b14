"""What one event costs, row by row; docs/performance.md argues for each request and call."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sync_costs import ROWS, spent

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "performance.md").read_text(encoding="utf-8")
SCALING = (DOCS / "scaling.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_event_costs_these_requests_and_calls_and_no_more(row):
    cost = spent(row)
    assert cost.sensor == list(row.sensor)
    assert (cost.requests, cost.calls) == (list(row.requests), list(row.calls))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_document_names_the_numbers(row):
    line, = re.findall(r"(?m)^\| %s \|(.*)\|$" % re.escape(row.name), TEXT)
    shown = [int(cell) for cell in re.findall(r"\d+(?= \|)", line + "|")[:2]]
    assert shown == [len(row.requests), len(row.calls)]


@pytest.mark.parametrize("shown, name", [
    ("created in StackFlow, paged", "created"), ("reopened in StackFlow", "opened again"),
    ("group changed", "handed to another group"),
    ("triggered in PagerDuty", "triggered in PagerDuty"),
    ("acknowledged, resolved, reopened in PagerDuty", "reopened in PagerDuty")])
def test_limits_are_reckoned_with_the_requests_that_an_event_costs(shown, name):
    """Those are left out whose echo costs requests too."""
    line, = re.findall(r"(?m)^\| %s \|(.*)\|$" % re.escape(shown), SCALING)
    row, = [one for one in ROWS if one.name == name]
    assert sum(map(int, re.findall(r"\d+", line))) == len(row.requests)
