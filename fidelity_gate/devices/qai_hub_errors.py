"""Whatever the client of Qualcomm AI Hub raises -> one clear line, and whether what was asked may have happened.

The client lets through its own errors, those of requests, protobuf, configparser and h5py, and plain ValueErrors and
AssertionErrors of its own. Its own carry boxes drawn over several lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.errors import GateError, NotMeasured
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from types import ModuleType

SERVICE = "Qualcomm AI Hub"
INSTALL = "pip install 'fidelity-gate[aihub]'"
CONFIGURE = "qai-hub configure --api_token TOKEN, or QAIHUB_CLIENT_INI=FILE"
_BOX = re.compile(r"[\u2500-\u257f|\s]+")
_BOILERPLATE = re.compile(r" Please (visit|contact) .*")
_UNAUTHENTICATED = "Failed to authenticate"
_HIDDEN = "[token]"
_LINE, _REASON = 160, 80


def without_client(raised: Exception) -> str:
    """Return why the client cannot be imported: it is not there, or what it needs is not, or does not fit."""
    if isinstance(raised, ModuleNotFoundError) and (raised.name or "").partition(".")[0] == "qai_hub":
        return f"qai-hub, the client of {SERVICE}, is not installed"
    told = printable(" ".join(str(raised).split()), _REASON)
    return f"qai-hub, the client of {SERVICE}, cannot be imported ({type(raised).__name__}: {told})"


class Unanswered(NotMeasured):
    """The service did not answer, or not with an answer: what was asked of it may have happened all the same."""


class Throttled(NotMeasured):
    """The service takes no more requests for now; what was asked did not happen."""


class NotThere(NotMeasured):
    """The service has no such thing, or does not show it."""


@dataclass(frozen=True, slots=True)
class Translator:
    """Knows the client's own errors, and what no line may show.

    Attributes:
        client: the module `qai_hub.client`.
        rest: the module `qai_hub.public_rest_api`.
        secret: the token.
    """

    client: ModuleType
    rest: ModuleType
    secret: str = ""

    def error(self, raised: Exception, doing: str) -> GateError:
        """Return what to raise instead.

        Args:
            raised: by the client.
            doing: what it was asked, as a participle: "submitting a job".
        """
        if isinstance(raised, GateError):
            return raised
        told = self._told(raised)
        if isinstance(raised, self.client.RateLimitedError):
            return _throttled(told, doing)
        if isinstance(raised, self.client.UserError):
            return _of_user(told, doing)
        if isinstance(raised, self.rest.APIException):
            return _of_status(raised, told, doing)
        return self._unanswered(raised, told, doing)

    def _unanswered(self, raised: Exception, told: str, doing: str) -> Unanswered:
        """Return the error for what is no answer of the service."""
        if isinstance(raised, self.client.requests.exceptions.RequestException):
            told = type(raised).__name__  # its own words are addresses and objects
        elif not isinstance(raised, self.client.InternalError):
            return Unanswered(f"{SERVICE} did not answer as it should ({doing}): {type(raised).__name__}: {told}")
        hint = "look at its status page, at the proxy's settings, and at api_url; then run again"
        return Unanswered(f"{SERVICE} did not answer ({doing}): {told}", hint=hint)

    def _told(self, raised: Exception) -> str:
        """Return the client's words on one line, without its boxes, and without the token wherever it came from."""
        text = str(raised)
        if self.secret:
            text = text.replace(self.secret, _HIDDEN)
        text = text.removeprefix("Internal API failure.")
        line = _BOILERPLATE.sub("", _BOX.sub(" ", text).strip())
        return line[:_LINE].rstrip(" .") or "no reason given"


def _throttled(told: str, doing: str) -> Throttled:
    return Throttled(f"{SERVICE} takes no more requests for now ({doing}): {told}", hint="run again later")


def _of_user(told: str, doing: str) -> GateError:
    if told.startswith(_UNAUTHENTICATED):
        hint = f"a current one: {CONFIGURE}; an entry for its host in ~/.netrc is sent instead of any token"
        return NotMeasured(f"{SERVICE} does not accept the token", hint=hint)
    if "could not be found" in told:
        return NotThere(f"{SERVICE}: {told} ({doing})")
    return NotMeasured(f"{SERVICE} refuses it ({doing}): {told}")


def _of_status(raised: Exception, told: str, doing: str) -> GateError:
    status = getattr(raised, "status_code", None)
    if status == 401:
        return _of_user(_UNAUTHENTICATED, doing)
    if status == 429:
        return _throttled(told, doing)
    if status == 404:
        return NotThere(f"{SERVICE}: {told} ({doing})")
    if isinstance(status, int) and 200 <= status < 300:
        what = f"{SERVICE} answered with something that is not of it ({doing}), perhaps a login page"
        return Unanswered(what, hint="api_url in the client's configuration, or a proxy in between")
    if isinstance(status, int) and 400 <= status < 500:
        return NotMeasured(f"{SERVICE} refuses it ({doing}): {told}")
    return Unanswered(f"{SERVICE} did not answer ({doing}): {told}", hint="run again later")
