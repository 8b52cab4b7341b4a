"""Uses the generated client as a product would, and runs against the mock server: `python use.py URL`."""

import sys

from orchestrator_api import AuthenticatedClient
from orchestrator_api.api.events import list_events
from orchestrator_api.api.exec_ import execute
from orchestrator_api.api.jobs import get_job, submit_job
from orchestrator_api.models import (
    EventType,
    ExecuteRequest,
    ExecuteResponse,
    JobAccepted,
    JobRequest,
    JobStatus,
    JobView,
    PageEventView,
    Problem,
)


def main(url: str) -> None:
    client = AuthenticatedClient(base_url=url, token="any")
    refund = {"method": "POST", "path": "/v1/refunds"}

    call = ExecuteRequest(connector="billing-api", operation="request", input_=refund)
    done = execute.sync(client=client, body=call, idempotency_key="order-7")
    assert isinstance(done, ExecuteResponse) and done.status == "succeeded", done

    broken = ExecuteRequest(connector="billing-api", operation="broken", input_=refund)
    problem = execute.sync(client=client, body=broken)
    assert isinstance(problem, Problem) and problem.code == "upstream_rejected", problem

    request = JobRequest(connector="billing-api", operation="request", input_=refund)
    accepted = submit_job.sync(client=client, body=request)
    assert isinstance(accepted, JobAccepted), accepted
    job = get_job.sync(accepted.id, client=client, wait_ms=30_000)
    assert isinstance(job, JobView) and job.status is JobStatus.SUCCEEDED, job
    assert job.created_at.tzinfo is not None

    events = list_events.sync(client=client, type_="job.succeeded")
    assert isinstance(events, PageEventView), events
    assert EventType.JOB_SUCCEEDED in [event.type_ for event in events.items]


if __name__ == "__main__":
    main(sys.argv[1])
