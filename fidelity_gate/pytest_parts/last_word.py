"""The last word on the exit status: where the gate was asked for, 0 means that it passed, and nothing else.

Anybody may set `Session.exitstatus`, until the very end. What pytest hands to the system is the result of the hook
`pytest_cmdline_main`, so the gate wraps that one, outside of every `conftest.py` that is loaded before it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fidelity_gate.pytest_parts.common import OPTION, is_worker, is_zero

if TYPE_CHECKING:
    from collections.abc import Generator

NAME = "fidelity-gate-last-word"


class LastWord:
    """A plugin of its own: wrappers that are registered later stand outside, and this one comes after the conftests."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, object, object]:
        """Let no session end in 0 that was to judge and did not come to a pass.

        Raises:
            pytest.UsageError: pytest did something else than running tests, or the end of the session was taken away.
        """
        status = yield
        if not is_zero(status) or is_worker(config):
            return status
        from fidelity_gate.pytest_parts.asking import only_shows
        from fidelity_gate.pytest_parts.finishing import has_passed

        if only_shows(config):
            return status
        passed = has_passed(config)
        if passed is None:
            raise pytest.UsageError(f"{OPTION}: nothing was judged at the end of this session")
        return status if passed else pytest.ExitCode.TESTS_FAILED
