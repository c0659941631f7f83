"""Run studies: define functions whose results are stored, and run them in processes or on clusters.

This package contains nothing about machine learning.
"""

from .calls import Call, Step, graph, later, step
from .engine import run
from .execute import (
    Context,
    RunFailed,
    StepFailed,
    WorkerLost,
    default_workers,
    runs_on,
)
from .planning import Plan, StepPlan, plan
from .store import DamagedResult, Done, Refused, Store, ran_on, store_path

__all__ = [
    "Call",
    "Context",
    "DamagedResult",
    "Done",
    "Plan",
    "Refused",
    "RunFailed",
    "Step",
    "StepFailed",
    "StepPlan",
    "Store",
    "WorkerLost",
    "default_workers",
    "graph",
    "later",
    "plan",
    "ran_on",
    "run",
    "runs_on",
    "step",
    "store_path",
]
