"""Print the tasks of a job as JSON: run where the dashboard is reached, with the cluster's token."""

from __future__ import annotations

import json
import sys

from ray.job_submission import JobSubmissionClient
from ray.util.state import list_nodes, list_tasks

DASHBOARD = "http://127.0.0.1:8265"
MOST = 10_000


def main() -> None:
    """Name, state, attempt and node of each task of the job that the argument names."""
    job = JobSubmissionClient(DASHBOARD).get_job_info(sys.argv[1]).driver_info
    addresses = {node.node_id: node.node_ip for node in list_nodes(DASHBOARD, limit=MOST)}
    tasks = list_tasks(
        DASHBOARD,
        filters=[("job_id", "=", job.id), ("type", "=", "NORMAL_TASK")],
        limit=MOST,
        raise_on_missing_output=False,
    )
    print(
        json.dumps(
            [
                {
                    "name": task.name,
                    "state": task.state,
                    "attempt": task.attempt_number,
                    "address": addresses.get(task.node_id, ""),
                }
                for task in tasks
            ]
        )
    )


main()
