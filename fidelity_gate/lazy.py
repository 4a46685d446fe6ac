"""Modules imported when something of theirs is first used: to describe a metric must not cost what running it does."""

from __future__ import annotations

import importlib
from types import ModuleType


class Postponed(ModuleType):
    """Stands for a module; the first use of anything in it imports it.

    Type checkers are shown the real one:

        if TYPE_CHECKING:
            import numpy as np
        else:
            np = Postponed("numpy")
    """

    def __getattr__(self, name: str) -> object:
        """Return what the module has under this name."""
        found = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, found)  # the next use of it is an ordinary one
        return found
