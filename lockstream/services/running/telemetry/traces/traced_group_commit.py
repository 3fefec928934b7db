"""Group commit with spans: the wait in the queue, the decision of a batch, and the flush that makes it durable."""

from collections.abc import Awaitable, Sequence
from typing import Any

from opentelemetry.trace import Span

from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.services.running.group_commit import Engine, GroupCommit, Observer, Outcomes, Submission
from lockstream.services.running.telemetry.traces.spans import POSITION, Tracing, fail


class _Traced:
    """A submission of a sampled request."""

    def __init__(self, request: Span, wait: Span) -> None:
        self.request, self.wait = request, wait
        self.flush: Span | None = None
        """The flush of the batch, if this submission is the first sampled one in it."""


class TracedGroupCommit(GroupCommit):
    """A `GroupCommit` that traces the requests which are sampled."""

    def __init__(self, engine: Engine, queue_limit: int, observer: Observer | None, tracing: Tracing) -> None:
        super().__init__(engine, queue_limit, observer)
        self._tracing = tracing
        self._traced: dict[int, _Traced] = {}
        """The traced submissions by their `id()`, each until it is acknowledged."""

    def _enqueue(self, submission: Submission) -> Awaitable[Any]:
        acknowledged = super()._enqueue(submission)
        if request := self._tracing.sampled_request():
            self._traced[id(submission)] = _Traced(request, self._tracing.begin("queue", [request]))
        return acknowledged

    def _decode(self, batch: Sequence[Submission]) -> None:
        """Decode a batch. The span of its decision includes the decoding."""
        if traced := self._traced_of(batch):
            for one in traced:
                one.wait.end()
            events = sum(submission.count for submission in batch)
            self._tracing.decision = self._tracing.begin(
                "decide",
                [one.request for one in traced],
                {"lockstream.requests": len(batch), "lockstream.events": events},
            )
        super()._decode(batch)
        for submission in batch:
            if submission.events is None:  # the request already has its error, and is never acknowledged
                self._traced.pop(id(submission), None)

    def _decided(self, batch: Sequence[Submission], outcomes: Outcomes) -> None:
        if decision := self._tracing.decision:
            decision.set_attribute(POSITION, self._engine.log.end.position)
            decision.end()
            self._tracing.decision = None
        if traced := self._traced_of(batch):
            traced[0].flush = self._tracing.begin("flush", [one.request for one in traced])
        super()._decided(batch, outcomes)

    def _acknowledge(self, batch: Sequence[Submission], outcomes: Outcomes, failure: str | None) -> None:
        start = 0
        for submission in batch:
            stop = start + submission.count
            if traced := self._traced.pop(id(submission), None):
                self._end(traced, outcomes[start:stop], failure)
            start = stop
        super()._acknowledge(batch, outcomes, failure)

    def _traced_of(self, batch: Sequence[Submission]) -> list[_Traced]:
        return [traced for submission in batch if (traced := self._traced.get(id(submission)))]

    def _end(self, traced: _Traced, outcomes: Outcomes, failure: str | None) -> None:
        """End the spans of a submission, and note the positions of its events at the request."""
        if traced.flush:
            if failure:
                fail(traced.flush, failure)
            traced.flush.end()
        if failure:
            return
        accepted = [outcome.position for outcome in outcomes if isinstance(outcome, Accepted)]
        for position in accepted:
            self._tracing.deliveries.expect(position, traced.request)
        earlier = [outcome.position for outcome in outcomes if isinstance(outcome, Duplicate)]
        if traced.request.is_recording():  # the client may have disconnected, which has ended the request
            counts = {"lockstream.accepted": len(accepted), "lockstream.duplicates": len(earlier)}
            traced.request.add_event("acknowledged", counts | {"lockstream.events": len(outcomes)})
            if positions := accepted or earlier:
                traced.request.set_attribute(POSITION, positions[-1])
