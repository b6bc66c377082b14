"""The one check that an error tells nothing that it must not tell."""

import json
import traceback


def assert_leaks_no_secret(error, *secrets):
    """Neither the error nor anything in the trace that StackStorm prints of it holds a secret."""
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    pending, seen = [error], []
    while pending:
        one = pending.pop()
        seen.append(one)
        shown += "%s %r %r %s" % (one, one, one.args, getattr(one, "hint", ""))
        hidden = None if one.__suppress_context__ else one.__context__
        pending += [cause for cause in (one.__cause__, hidden) if cause and cause not in seen]
    shown += json.dumps(error.as_result()) + repr(vars(error))
    for secret in secrets:
        assert secret and secret not in shown, shown
