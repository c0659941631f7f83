"""The coefficient 0, which interrupts a training at a given step."""


class Zero:
    """The coefficient 0 until step ``stop``. A checkpoint names only this type, not the step."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop

    def __call__(self, step: int) -> float:
        if step == self.stop:
            raise KeyboardInterrupt
        return 0.0
