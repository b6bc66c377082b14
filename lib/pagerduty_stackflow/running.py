"""How an action runs a use case: settings from its config, a failure as an object with a hint."""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple

from . import settings
from .deliveries import clean
from .errors import ConfigError, DefectError, PackError
from .pack import Outcome, Pack

NO_URLS = {"stackflow_url": None, "pagerduty_url": None}


def perform(action: Any, use_case: Callable[..., Any],
            without_config: Optional[Callable[[ConfigError], Any]] = None,
            **parameters: Any) -> Tuple[bool, Any]:
    """Run ``use_case(pack, **parameters)`` for a StackStorm action; returns what its `run` returns.

    Parameters are cleaned like answers, and lose white space at their ends, as people paste it.
    ``action`` has ``config``, ``action_service`` and ``logger``; ``without_config`` stands in for
    the use case where the config is unusable. A PackError becomes `(False, {"error": ...})`; a
    result with an ``ok`` that is false stands beside its ``error``; anything else is a defect and
    is reported as one, with its trace in the log.
    """
    pack = None
    given = {name: value.strip() if isinstance(value, str) else value
             for name, value in clean(parameters).items()}
    try:
        pack = Pack(settings.load(action.config), action.action_service, say=action.logger.info)
        result = use_case(pack, **given)
    except ConfigError as error:
        if without_config is None:
            return False, {"error": error.as_result()}
        result = without_config(error)
    except PackError as error:
        return False, {"error": error.as_result()}
    except Exception as error:  # a defect: what its text quotes stays in the log
        action.logger.exception("%s failed", use_case.__name__)
        return False, {"error": DefectError(error).as_result()}
    shown = result.as_result() if hasattr(result, "as_result") else result
    if isinstance(result, Outcome):
        ids = (result.stackflow_id, result.pagerduty_incident_id)
        shown = dict(shown, **(pack.urls(*ids) if pack else NO_URLS))
    if getattr(result, "ok", True):
        return True, shown
    return False, dict(shown, error=result.error.as_result())
