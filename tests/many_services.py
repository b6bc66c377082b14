"""A site with more mapped services than one address can name."""

from __future__ import annotations

from typing import Any, Dict, List
from urllib.parse import urlencode

LONGEST_ADDRESS = 3000
"""Characters of an address that every front accepts: some refuse more than 4 KB with a 414."""


def mapped_services(pagerduty: Any, stackflow: Any, person: str,
                    count: int) -> List[Dict[str, Any]]:
    """Make so many services, each with a policy and a group; return their entries of
    service_mapping. The ids are as long as PagerDuty's longest.
    """
    entries = []
    for at in range(count):
        policy = pagerduty.add_escalation_policy("P %d" % at, [(5, [person])], id="PP%012d" % at)
        service = pagerduty.add_service("S %d" % at, policy, id="PS%012d" % at)
        stackflow.add_group("Group %d" % at)
        entries.append({"pagerduty_service_id": service, "pagerduty_service_name": "S %d" % at,
                        "stackflow_assignment_group": "Group %d" % at,
                        "integration_key": pagerduty.add_integration(service)[1]})
    return entries


def longest_address(requests: List[Any]) -> int:
    """How long the longest address is, host included."""
    return max(len("https://api.eu.pagerduty.com%s?%s" % (one.path, urlencode(one.query)))
               for one in requests)
