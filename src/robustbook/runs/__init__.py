"""The engine: steps, the store of their results, worker processes, clusters, plans.

It knows nothing of machine learning.
"""

from .calls import Call, Step, later, step
from .engine import run
from .execute import Context, RunFailed, StepFailed, WorkerLost, default_workers
from .planning import Plan, StepPlan, duration, graph, plan
from .store import DamagedResult, Done, Store

__all__ = [
    "Call",
    "Context",
    "DamagedResult",
    "Done",
    "Plan",
    "Step",
    "RunFailed",
    "StepFailed",
    "StepPlan",
    "Store",
    "WorkerLost",
    "default_workers",
    "duration",
    "graph",
    "later",
    "plan",
    "run",
    "step",
]
