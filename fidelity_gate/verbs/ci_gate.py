"""The gate as CI runs it: in a process of its own, with every report, and with a verdict file that says whose it is.

A process of its own, because what is judged may exhaust the machine: when the gate is killed, somebody must still be
there to say so in every report. Whatever the process exits with, it passed only if its own report, read back and
judged again, says so too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate import __version__
from fidelity_gate.errors import ExitCode, GateError, Internal, ModelRefused, ReportNotWritten, UsageError, WorkerDied
from fidelity_gate.files import sha256_hex, write_atomically
from fidelity_gate.verbs import ci_verdict
from fidelity_gate.verbs.ci_places import placed
from fidelity_gate.verbs.orders import Desk, now, parse_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fidelity_gate.records import Report
    from fidelity_gate.verbs.ci_places import Given, Placed
    from fidelity_gate.verbs.ci_verdict import Run, Verdict

STEM = "fidelity-gate"
INTERRUPTIONS = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)
GRACE = 10  # seconds that a gate that is told to stop has for it
# The gate gets neither the tokens of a CI nor the files by which a step speaks to it.
_WITHHELD = ("ACTIONS_", "CI_", "FG_", "GITHUB_", "INPUT_")


@dataclass(frozen=True, slots=True)
class Order:
    """One run of the gate in CI.

    Attributes:
        given: what is judged by what, and where that lies.
        run: whose run it is.
        folder: where the reports go; it is made where it is not there.
        summary_bytes: the most bytes of the Markdown report.
        strict_junit: leave out of JUnit what Jenkins' schema has no word for.
        reference_digest: SHA-256 that the reference must have, or "".
        allow_code: run Python that the policy names.
        one_stream: send what the gate says on stderr to stdout too, in its order.
    """

    given: Given
    run: Run
    folder: Path
    summary_bytes: int = 1_000_000
    strict_junit: bool = False
    reference_digest: str = ""
    allow_code: bool = False
    one_stream: bool = False

    @property
    def files(self) -> Mapping[str, Path]:
        """Return type of report -> its file."""
        kinds = {"json": ".json", "junit": ".xml", "html": ".html", "sarif": ".sarif", "markdown": ".md"}
        return {kind: self.folder / f"{STEM}{suffix}" for kind, suffix in kinds.items()} | {
            "github": self.folder / f"{STEM}-annotations.txt"
        }

    @property
    def verdict_file(self) -> Path:
        """Return the file that says what came of it, and for which commit."""
        return self.folder / ci_verdict.NAME

    @property
    def reports(self) -> tuple[str, ...]:
        """Return the reports as `--report` asks for them."""
        options = {"junit": ",strict=true" if self.strict_junit else "", "markdown": f",limit={self.summary_bytes}"}
        return tuple(f"{kind}{options.get(kind, '')}:{file}" for kind, file in self.files.items())


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a run.

    Attributes:
        verdict: None where the run was interrupted, or nothing could be written.
        digest: SHA-256 of the verdict file.
        failure: why there is no verdict of the gate's own.
    """

    exit_code: int
    verdict: Verdict | None = None
    digest: str = ""
    failure: GateError | None = None


def conduct(order: Order) -> Ended:
    """Run the gate, and leave its reports and the verdict file whatever comes of it; an interruption leaves none."""
    report: Report | None = None
    failure: GateError | None = None
    try:
        _make_folder(order.folder)
        with Desk(parse_orders(order.reports), others=(str(order.verdict_file),)):
            _refuse_no_digest(order.reference_digest)
            code = _run(order, placed(order.given))
            if code in INTERRUPTIONS:
                return Ended(code)
            report = _report_of(order, code)
            _refuse_other_reference(order, report)
    except GateError as error:
        failure, report, code = error, None, int(error.exit_code)
    reason = str(failure) if failure is not None else report.verdict.reason if report is not None else ""
    return _left(order, code, reason, report, failure)


def _make_folder(folder: Path) -> None:
    if folder.is_symlink():
        raise ReportNotWritten("is a link: reports go to a folder", where=folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportNotWritten(f"cannot be made: {error.strerror}", where=folder) from error


def _run(order: Order, there: Placed) -> int:
    """Run the gate and return its exit code.

    Raises:
        WorkerDied: it did not end by itself.
    """
    # -I: nothing in the folder that it runs in, and no variable, decides which modules are imported.
    command = [sys.executable, "-I", "-m", "fidelity_gate.cli", *_arguments(order, there)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(_WITHHELD)}
    errors = subprocess.STDOUT if order.one_stream else None

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=there.folder, env=variables, stdin=subprocess.DEVNULL, stderr=errors)  # noqa: S603  (our own interpreter, our own code)

    sys.stdout.flush()
    try:
        code = _ended(start)
    except (OSError, ValueError) as error:
        raise WorkerDied(f"the gate could not be started: {error}") from error
    if code in {int(known) for known in ExitCode}:
        return code
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    hint = "often the machine's out-of-memory killer" if code in (-9, 137) else "the log above may say why"
    raise WorkerDied(f"the gate {how} before it came to a verdict", where=order.given.policy, hint=hint)


def _ended(start: Callable[[], subprocess.Popen[bytes]]) -> int:
    """Start a process and return how it ended; whatever interrupts the waiting, the process does not live on.

    It is started in another thread, because signals interrupt the main one alone: in the midst of starting, too, when
    there is a process already and nobody knows it yet.
    """
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(start)
        try:
            return started.result().wait()
        finally:
            if started.exception() is None:
                _stop(started.result())


def _arguments(order: Order, there: Placed) -> list[str]:
    given = [f"--{name}={value}" for name, value in (("reference", there.reference), ("inputs", there.inputs)) if value]
    given += [f"--candidate={name}={path}" for name, path in there.candidates]
    given += [f"--report={text}" for text in (*order.reports, "terminal")]
    return ["run", *given, *(["--allow-code"] if order.allow_code else []), "--", there.policy]


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a gate that is still running, because whoever waits for it was told to stop."""
    if child.poll() is not None:
        return
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=GRACE)
    child.kill()
    child.wait()


def _report_of(order: Order, code: int) -> Report:
    """Return the report that the gate left; raises where there is none, or where it says something else."""
    from fidelity_gate.reports import json as saved
    from fidelity_gate.verbs.report import refuse_untrue

    missing = [file.name for file in order.files.values() if not file.is_file()]
    if missing and code == ExitCode.INTERNAL:
        raise ReportNotWritten("the gate could not write every report", where=order.folder, hint=", ".join(missing))
    if missing:
        what = f"the gate ended with exit code {code} and without {', '.join(missing)}"
        raise Internal(what, where=order.folder)
    where = str(order.files["json"])
    report = saved.read(where)
    refuse_untrue(report, where)
    if report.verdict.exit_code != code or report.verdict.passed != (code == 0):
        raise Internal(f"the gate ended with {code}, and its report says {report.verdict.exit_code}", where=where)
    return report


def _refuse_no_digest(text: str) -> None:
    if text and not re.fullmatch("[0-9a-f]{64}", text):
        raise UsageError(f"'{text}' is no SHA-256", field="reference-digest", hint="64 hexadecimal digits")


def _refuse_other_reference(order: Order, report: Report) -> None:
    wanted = order.reference_digest
    if wanted and report.measured is not None and report.measured.reference.facts.digest != wanted:
        found = report.measured.reference.facts.digest
        what = f"is not the reference that is asked for (SHA-256 {found[:12]}..., asked for {wanted[:12]}...)"
        raise ModelRefused(what, where=report.measured.reference.facts.path, field="reference-digest")


def _left(order: Order, code: int, reason: str, report: Report | None, failure: GateError | None) -> Ended:
    """Write the verdict file and return what came of the run."""
    reports = {file.name: _digest(file) for file in order.files.values() if file.is_file()}
    verdict = ci_verdict.Verdict(
        verdict=ci_verdict.word_of(code),
        exit_code=code,
        reason=reason,
        run=order.run,
        policy=order.given.policy,
        digests=_digests(report),
        reports=reports,
        created=report.created if report is not None else now(),
        tool=f"fidelity-gate {__version__}",
    )
    text = ci_verdict.dump(verdict)
    try:
        write_atomically(order.verdict_file, text)
    except ReportNotWritten as error:
        return Ended(int(ExitCode.INTERNAL), failure=failure or error)
    return Ended(code, verdict, sha256_hex(text.encode()), failure)


def retracted(order: Order, failure: ReportNotWritten) -> Ended:
    """Take back what a run left, because not everybody who has to be told of it can be: every report says so."""
    with contextlib.suppress(GateError), Desk(parse_orders(order.reports), others=(str(order.verdict_file),)):
        raise failure
    return Ended(int(failure.exit_code), failure=failure)


def _digest(file: Path) -> str:
    with file.open("rb") as handle:  # our own report: any content and any size is right, nothing as well
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _digests(report: Report | None) -> dict[str, str]:
    if report is None:
        return {}
    found = {"policy": report.verdict.policy_digest}
    if report.measured is not None:
        found["reference"] = report.measured.reference.facts.digest
        found["inputs"] = report.measured.provenance.inputs_digest
        found |= {f"candidate.{record.name}": record.facts.digest for record in report.measured.candidates}
    return {key: value for key, value in found.items() if value}
