"""``python -m dev.playground [PORT]``: start everything, say where the page is, end with Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from dev.playground.server import PageServer
from dev.site import LocalSite

ANSWER_SECONDS = 20.0
"""The time that people have to answer an escalation."""
CALL_SECONDS = 4
"""After so many seconds the pack gives up a call, to be seen here; on a real site it is patient."""


def made_site() -> LocalSite:
    """A site that escalates breached SLAs and copies notes; nothing runs yet."""
    site = LocalSite()
    site.platform_config.update(site.escalating(ANSWER_SECONDS), sync_notes=True,
                                http={"timeout_seconds": 2, "total_seconds": CALL_SECONDS})
    return site


def main() -> int:
    """Serve until Ctrl-C; 0 then, 1 where the port is taken."""
    arguments = argparse.ArgumentParser(prog="python -m dev.playground")
    arguments.add_argument("port", nargs="?", type=int, default=0, help="by default a free one")
    port = arguments.parse_args().port
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print("Starting both systems and the pack ...", flush=True)
    with made_site() as site:
        try:
            page = PageServer(site, port)
        except (OSError, OverflowError) as error:
            print("Port %d cannot be used: %s" % (port, error))
            return 1
        with page:
            print("The playground is on %s\nEnd it with Ctrl-C." % page.url, flush=True)
            ended.wait()
    print("\nEnded.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
