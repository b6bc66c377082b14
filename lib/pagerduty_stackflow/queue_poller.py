"""What the sensor of the SLA queue does: receive, dispatch, and only then delete."""

from __future__ import annotations

from logging import Logger
from typing import Optional

from .dispatching import Dispatcher
from .errors import PackError, describe
from .pack import Pack
from .stackflow.sla_queue import Message, SLAQueue, read


class QueuePoller:
    """Takes what is in the queue `sla.queue_url`; where that is not set, it says so once."""

    def __init__(self, pack: Pack, dispatcher: Dispatcher, logger: Logger) -> None:
        self._settings = pack.settings
        self._dispatcher = dispatcher
        self._logger = logger
        self._queue: Optional[SLAQueue] = None
        if pack.settings.sla.queue_url is None:
            logger.error("sla.queue_url is not set, no SLA alert is received: set it and restart "
                         "this sensor, or disable it")
        else:
            self._queue = SLAQueue(pack.settings.sla.queue_url, pack.settings)

    def poll(self) -> None:
        """Empty the queue, then wait up to 20 seconds for the next message.

        Raises PackError, or whatever StackStorm's own dispatch raises. What was not deleted by then
        comes again: a message may be dispatched twice, which does no harm. What cannot be read
        stays in the queue, for the queue's own dead-letter policy.
        """
        if self._queue is None:
            return
        taken = 1
        while taken:
            taken = sum(self._take(self._queue, message) for message in self._queue.receive())

    def _take(self, queue: SLAQueue, message: Message) -> bool:
        """Whether the message was dispatched and deleted."""
        try:
            trigger, payload = read(message, self._settings.stackflow)
        except Exception as error:  # one message must not keep the others from their turn
            self._logger.warning("message %s stays in the SLA queue: %s", message.id,
                                 describe(error), exc_info=not isinstance(error, PackError))
            return False
        try:
            self._dispatcher.dispatch(trigger, payload)
        except Exception:
            self._logger.warning("message %s was not dispatched, and comes again", message.id)
            raise
        queue.delete(message)
        return True
