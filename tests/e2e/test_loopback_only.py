"""On a running StackStorm scenarios are played only where nobody can be paged by them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict

import pytest
import yaml
from installed import NEEDED, Installed, Refused, ports

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "platform.md"


def documented() -> Dict[str, Any]:
    """The config that the documentation gives for such a run."""
    text, = re.findall("```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return dict(yaml.safe_load(text))


def changed(path: str, value: Any) -> Dict[str, Any]:
    config = documented()
    first, _, second = path.partition(".")
    if second:
        config.setdefault(first, {})[second] = value
    else:
        config[first] = value
    return config


def test_the_documented_config_is_taken_with_its_ports() -> None:
    assert ports(documented()) == (18101, 18102, 18103)


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [
    None, "", "https://events.pagerduty.com", "http://127.0.0.1.example.com:18101",
    "api.pagerduty.com", "http://localhost:18101", "http://127.0.0.1",
    "http://127.0.0.1:18101@api.pagerduty.com"])
def test_an_address_that_is_missing_or_leads_elsewhere_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Refused, match=re.escape(name)):
        ports(changed(name, value))


@pytest.mark.parametrize("name, value", [
    ("stackflow.auth", {"token_url": "https://auth.example.com/token"}),
    ("sla.queue_url", "https://sqs.us-east-1.amazonaws.com/1/alerts"),
    ("webhook_listener.public_url", "https://hooks.example.com"),
    ("webhook_listener.host", "0.0.0.0"),
    ("a_list", [{"deep": "https://example.com"}])])
def test_any_other_address_that_leads_elsewhere_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Refused, match=re.escape(name)):
        ports(changed(name, value))


def test_two_addresses_for_the_one_pagerduty_are_refused() -> None:
    with pytest.raises(Refused, match="one simulator is both"):
        ports(changed("pagerduty.api_url", "http://127.0.0.1:18109"))


def test_a_certificate_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ST2_CACERT", str(tmp_path / "st2.crt"))
    with pytest.raises(Refused, match="ST2_CACERT"):
        Installed([])
