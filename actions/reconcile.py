"""Finds and repairs drift over all pairs, or over one."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import reconcile
from pagerduty_stackflow.running import perform

__all__ = ["ReconcileAction"]


class ReconcileAction(Action):
    """Finds and repairs drift over all pairs, or over one."""

    def run(self, incident_id=None, dry_run=False, since=None):
        return perform(self, reconcile.reconcile, reconcile.without_config,
                       incident_id=incident_id, dry_run=dry_run, since=since)
