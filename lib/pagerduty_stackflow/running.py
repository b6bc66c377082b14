"""How an action runs a use case: settings from its config, a failure as an object with a hint."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

from . import settings
from .errors import ConfigError, PackError
from .pack import Outcome, Pack
from .report import Report


def perform(action: Any, use_case: Callable[..., Any],
            without_config: Optional[Callable[[ConfigError], Report]] = None,
            **parameters: Any) -> Tuple[bool, Any]:
    """Run ``use_case(pack, **parameters)`` for a StackStorm action; returns what its `run` returns.

    ``action`` has ``config``, ``action_service`` and ``logger``; ``without_config`` stands in for
    the use case where the config is unusable. A PackError becomes `(False, {"error": ...})`, a
    report that is not ok stands beside its error; anything else is a defect and is reported as one,
    with its trace in the log.
    """
    try:
        pack = Pack(settings.load(action.config), action.action_service)
        result = use_case(pack, **parameters)
    except ConfigError as error:
        if without_config is None:
            return False, {"error": error.as_result()}
        result = without_config(error)
    except PackError as error:
        return False, {"error": error.as_result()}
    except Exception as error:  # a defect: what its text quotes stays in the log
        action.logger.exception("%s failed", use_case.__name__)
        return False, {"error": _defect(error)}
    if isinstance(result, Report) and not result.ok:
        return False, dict(result.as_result(), error=result.error.as_result())
    if isinstance(result, Outcome):
        links = pack.urls(result.stackflow_id, result.pagerduty_incident_id)
        return True, dict(result.as_result(), **links)
    return True, result.as_result() if isinstance(result, Report) else result


def _defect(error: Exception) -> Dict[str, Any]:
    return {"kind": "defect", "message": "unexpected %s in the pack" % type(error).__name__,
            "hint": "the trace is in the execution's stderr; please report it", "retryable": False}
