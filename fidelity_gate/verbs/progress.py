"""How far a measurement is: a bar with the time left on a terminal's stderr, nothing anywhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


@dataclass(slots=True)
class Bar:
    """A progress that is drawn only where somebody looks; a context manager, so that the cursor always comes back."""

    shown: bool = field(default_factory=lambda: sys.stderr.isatty())
    _bar: RichProgress | None = None
    _task: TaskID | None = None

    def __enter__(self) -> Self:
        """Start drawing."""
        if self.shown:
            self._bar = _rich_bar()
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop drawing, whatever happened."""
        if self._bar is not None:
            self._bar.stop()

    def start(self, label: str, total: int) -> None:
        """Begin something that takes `total` steps."""
        if self._bar is not None:
            self._task = self._bar.add_task(label, total=total)

    def advance(self, count: int = 1) -> None:
        """Go `count` steps further."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, count)

    def done(self) -> None:
        """End what was begun last."""
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


def _rich_bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # The label is text, not markup: it may hold a file's name.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
