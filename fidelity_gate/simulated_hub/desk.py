"""Jobs of the simulated hub's interface: submitted, watched, listed, their results and logs fetched."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate.simulated_hub.exchange import Refusal, created, known, message, page, route, tidy_name
from fidelity_gate.simulated_hub.faults import JOB
from fidelity_gate.simulated_hub.messages import SIMULATED
from fidelity_gate.simulated_hub.store import MOST_OBJECTS, Full
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.simulated_hub.exchange import Asked, Reply, Route
    from fidelity_gate.simulated_hub.faults import Faults
    from fidelity_gate.simulated_hub.jobs import JobRecord
    from fidelity_gate.simulated_hub.library import Library
    from fidelity_gate.simulated_hub.replies import Replies
    from fidelity_gate.simulated_hub.submitting import Submission


@dataclass(slots=True, eq=False)
class JobDesk:
    """Answers requests for jobs.

    Attributes:
        library: of models and datasets.
        submission: that checks what a job names.
        replies: that makes messages.
        faults: to be shown.
        job_seconds: that every job takes at least.
        jobs: by id, in the order in which they were submitted.
        lock: to be held while `jobs` is read or changed.
    """

    library: Library
    submission: Submission
    replies: Replies
    faults: Faults
    job_seconds: float
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def routes(self) -> tuple[Route, ...]:
        """Return the calls that are answered here."""
        return (
            route("POST", "jobs/", self._post_job),
            route("GET", "jobs/", self._get_jobs),
            route("GET", "job_summaries/", self._get_summaries),
            route("GET", "jobs/{id}/", self._get_job),
            route("PATCH", "jobs/{id}/", self._patch_job),
            route("GET", "jobs/{id}/result/", self._get_result),
            route("GET", "jobs/{id}/download_compiled_model/", self._get_compiled),
            route("GET", "jobs/{id}/device_runs/latest/artifact_list/{n}/", self._get_artifacts),
        )

    def _post_job(self, asked: Asked) -> Reply:
        told = asked.message(self.replies.pb.Job)
        kind = (told.WhichOneof("job") or "").removesuffix("_job")
        with self.lock:
            if len(self.jobs) >= MOST_OBJECTS:
                raise Full
            faults = self.faults.all(JOB, kind)
            job = self.submission.job(kind, told, faults, self.job_seconds)
            self.jobs[job.id] = job
            self.submission.workshop.submit(job)
        return created(self.replies.pb, job.id, job.created)

    def _get_job(self, asked: Asked, key: str) -> Reply:
        return message(self.replies.job(self._job(key)))

    def _patch_job(self, asked: Asked, key: str) -> Reply:
        told = asked.message(self.replies.pb.JobPublicUpdate)
        job = self._job(key)
        job.name = tidy_name(told.name)
        return created(self.replies.pb, job.id, job.created)

    def _get_result(self, asked: Asked, key: str) -> Reply:
        job = self._job(key)
        if not job.over or job.outcome.failure:
            raise Refusal(404, f"the job {job.id} has no results")
        return message(self.replies.result(job))

    def _get_summaries(self, asked: Asked) -> Reply:
        kind, states = asked.one("type"), {state for state in asked.one("state").split(",") if state}
        creator = asked.one("creator")
        found = [
            job
            for job in self._newest_first()
            if kind in ("", job.kind)
            and creator in ("", self.replies.user().email)
            and (not states or str(self.replies.state(job)) in states)
        ]
        made = [self.replies.summary(job) for job in asked.page(found)]
        return message(self.replies.pb.JobSummaryList(job_summaries=made, total_query_count=len(found)))

    def _get_jobs(self, asked: Asked) -> Reply:
        kept = self._newest_first()
        made = [self.replies.job(job) for job in asked.page(kept)]
        return message(self.replies.pb.JobList(jobs=made, total_query_count=len(kept)))

    def _get_compiled(self, asked: Asked, key: str) -> Reply:
        target = self._job(key).order.target
        if target is None:
            raise Refusal(404, "the job makes no model")
        return self.library.model_file(asked, target)

    def _get_artifacts(self, asked: Asked, key: str, artifact: str) -> Reply:
        job = self._job(key)
        told = self.replies.pb.NamedArtifactDownloadURLList()
        if job.over and int(artifact) in self.replies.artifacts(job):
            name = f"{job.id}.{'device' if int(artifact) == self.replies.DEVICE_LOG else 'hub'}.log"
            word = self.library.store.offer(self._log(job), name)
            told.artifacts.add(url=f"{self.library.files_url}file/{word}", filename=name, name=name)
        return message(told)

    def _log(self, job: JobRecord) -> Path:
        """Return the file with the job's log, written when first asked for."""
        if job.log_path is None:
            path = self.library.store.folder / f"{job.id}.log"
            lines = (SIMULATED, f"job {job.id}, {job.kind}: {job.state()}", *job.outcome.log)
            self.library.store.fill(path, "".join(f"{printable(line)}\n" for line in lines).encode())
            job.log_path = path
        return job.log_path

    def job_page(self, key: str) -> Reply:
        """Return the page behind a job's URL."""
        job = self._job(key)
        model = job.order.model
        return page(
            f"job {job.id}", (f"{job.kind}: {job.state()}", f"model {model.id}: {model.name}", *job.outcome.log)
        )

    def _job(self, key: str) -> JobRecord:
        found: JobRecord = known(self.jobs, key)
        return found

    def _newest_first(self) -> list[JobRecord]:
        with self.lock:
            return list(reversed(self.jobs.values()))
