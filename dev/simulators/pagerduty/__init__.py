"""PagerDuty, simulated from its published documentation.

Rules cite the page that states them in square brackets:
[api-schema]: github.com/PagerDuty/api-schema, reference/*/openapiv3.json and CHANGELOG;
[developer-docs, ...]: github.com/PagerDuty/developer-docs, the source of developer.pagerduty.com,
where [events-API-v2/02] and [webhooks/02] are pages of it; [support: ...]: an article of
support.pagerduty.com; repository#number: an issue in which the live service was observed.
What none of them says is a field of `Switches`.
"""

from dev.simulators.pagerduty.model import Notification, Refused, Switches, Write
from dev.simulators.pagerduty.simulator import PagerDuty
from dev.simulators.pagerduty.webhooks import sign

__all__ = ["Notification", "PagerDuty", "Refused", "Switches", "Write", "sign"]
