"""Fails with the reason why verify_integration failed, and what to do."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import verification
from pagerduty_stackflow.running import perform

__all__ = ["ExplainVerificationAction"]


class ExplainVerificationAction(Action):
    """Fails with the reason why verify_integration failed, and what to do."""

    def run(self, failed_step, pagerduty_incident_id, stackflow_id=None, left_open=False):
        return perform(self, verification.explain_verification, failed_step=failed_step,
                       pagerduty_incident_id=pagerduty_incident_id, stackflow_id=stackflow_id,
                       left_open=left_open)
