"""The coefficient 0, which interrupts a training at a given step."""

from typing import ClassVar


class Zero:
    """The coefficient 0 until step ``stop``, which is no attribute of the object, so a checkpoint
    does not name it.
    """

    stops: ClassVar[dict[int, int | None]] = {}

    def __init__(self, stop: int | None = None) -> None:
        self.stops[id(self)] = stop

    def __call__(self, step: int) -> float:
        if step == self.stops[id(self)]:
            raise KeyboardInterrupt
        return 0.0
