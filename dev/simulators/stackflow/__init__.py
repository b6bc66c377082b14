"""StackFlow as a server: documented behaviour, and a switch for what no page states."""

from dev.simulators.stackflow.refusals import Refusal
from dev.simulators.stackflow.simulator import StackFlow, Write
from dev.simulators.stackflow.sla import STANDARD_TARGETS
from dev.simulators.stackflow.switches import Switches
from dev.simulators.stackflow.webhooks import EVENTS

__all__ = ["EVENTS", "STANDARD_TARGETS", "Refusal", "StackFlow", "Switches", "Write"]
