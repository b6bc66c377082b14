"""How an action runs a use case: settings from its config, a failure as an object with a hint."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

from . import settings
from .errors import PackError
from .pack import Outcome, Pack


def perform(action: Any, use_case: Callable[..., Any], **parameters: Any) -> Tuple[bool, Any]:
    """Run ``use_case(pack, **parameters)`` for a StackStorm action; returns what its `run` returns.

    ``action`` has ``config``, ``action_service`` and ``logger``. A PackError becomes `(False,
    {"error": ...})`; anything else is a defect and is reported as one, with its trace in the log.
    """
    try:
        pack = Pack(settings.load(action.config), action.action_service)
        result = use_case(pack, **parameters)
    except PackError as error:
        return False, {"error": error.as_result()}
    except Exception as error:  # a defect: its text may quote what it worked on, so only its type is shown
        action.logger.exception("%s failed", use_case.__name__)
        return False, {"error": _defect(error)}
    return True, result.as_result() if isinstance(result, Outcome) else result


def _defect(error: Exception) -> Dict[str, Any]:
    return {"kind": "defect", "message": "unexpected %s in the pack" % type(error).__name__,
            "hint": "the trace is in the execution's stderr; please report it", "retryable": False}
