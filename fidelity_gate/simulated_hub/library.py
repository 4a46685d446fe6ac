"""Models and datasets of the simulated hub's interface: made, uploaded, listed, fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.errors import GateError
from fidelity_gate.simulated_hub.exchange import Refusal, Reply, created, known, message, page, route, tidy_name
from fidelity_gate.simulated_hub.faults import UPLOAD
from fidelity_gate.simulated_hub.messages import now
from fidelity_gate.simulated_hub.store import KEPT_DAYS, MOST_BYTES, Dataset, Model
from fidelity_gate.simulated_hub.working import DAY

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.simulated_hub.exchange import Asked, Route
    from fidelity_gate.simulated_hub.faults import Faults
    from fidelity_gate.simulated_hub.replies import Replies
    from fidelity_gate.simulated_hub.store import Store
    from fidelity_gate.simulated_hub.working import Workshop

MOST_PARTS = 1000
_FIELD = "file"


@dataclass(frozen=True, slots=True)
class Library:
    """Answers requests for models and datasets.

    Attributes:
        store: that keeps them.
        workshop: that looks into models.
        replies: that makes messages.
        faults: to be shown.
        files_url: where files are put and fetched, with a slash at its end.
        part_bytes: the most of one part of an upload.
    """

    store: Store
    workshop: Workshop
    replies: Replies
    faults: Faults
    files_url: str
    part_bytes: int

    def routes(self) -> tuple[Route, ...]:
        """Return the calls that are answered here."""
        return (
            route("POST", "models/", self._post_model),
            route("GET", "models/", self._get_models),
            route("GET", "models/{id}/", self._get_model),
            route("GET", "models/{id}/multipart_upload/", self._get_model_upload),
            route("POST", "models/{id}/multipart_upload/", self._post_model_upload),
            route("GET", "models/{id}/download/", self._get_model_download),
            route("POST", "datasets/", self._post_dataset),
            route("GET", "datasets/", self._get_datasets),
            route("GET", "datasets/{id}/", self._get_dataset),
            route("PATCH", "datasets/{id}/", self._patch_dataset),
            route("GET", "datasets/{id}/upload_url/", self._get_dataset_upload),
            route("GET", "datasets/{id}/download_data/", self._get_dataset_download),
        )

    # ------------------------------------------------------------ models

    def _post_model(self, asked: Asked) -> Reply:
        told = asked.message(self.replies.pb.Model)
        name = tidy_name(told.name)
        made = self.store.add_model(
            lambda key, path: Model(key, name, told.model_type, now(), path, is_directory=told.is_directory)
        )
        return created(self.replies.pb, made.id, made.created)

    def _get_models(self, asked: Asked) -> Reply:
        with self.store.lock:
            kept = [model for model in reversed(self.store.models.values()) if model.complete]
        producer = asked.one("producer")
        kept = [model for model in kept if producer in ("", model.producer)]
        models = [self.replies.model(model) for model in asked.page(kept)]
        return message(self.replies.pb.ModelList(models=models, total_query_count=len(kept)))

    def _get_model(self, asked: Asked, key: str) -> Reply:
        model = self._model(key)
        try:
            anatomy = self.workshop.anatomy(model) if model.complete else None
        except GateError:
            anatomy = None  # a file of whatever kind may be uploaded
        return message(self.replies.model(model, anatomy))

    def _get_model_upload(self, asked: Asked, key: str) -> Reply:
        model, size = self._model(key), asked.whole("file_size", 0)
        if not 0 < size <= min(MOST_BYTES, MOST_PARTS * self.part_bytes):
            raise Refusal(413 if size else 400, f"a model of {size} bytes cannot be uploaded")
        upload = self.store.promise(model.id, model.path, size, self.part_bytes)
        urls = [f"{self.files_url}upload/{upload.id}/{part}" for part in range(len(upload.sizes))]
        told = self.replies.pb.FileUploadResponse()
        told.multipart_url.urls.extend(urls)
        told.multipart_url.upload_id, told.multipart_url.max_part_size = upload.id, self.part_bytes
        return message(told)

    def _post_model_upload(self, asked: Asked, key: str) -> Reply:
        told = asked.message(self.replies.pb.FileMultipartUploadComplete)
        model, upload = self._model(key), self.store.uploads.get(told.upload_id)
        if upload is None or upload.owner != model.id:
            raise Refusal(400, "no such upload")
        model.digest = self.store.joined(upload, list(told.etags))
        model.complete = True
        return created(self.replies.pb, model.id, model.created)

    def _get_model_download(self, asked: Asked, key: str) -> Reply:
        return self.model_file(asked, self._model(key))

    def model_file(self, asked: Asked, model: Model) -> Reply:
        """Return where a model's file can be fetched; raises Refusal where it has none."""
        if not model.complete:
            raise Refusal(404, f"the model {model.id} has no file")
        return self._download(asked, model.path, model.filename or model.name)

    # ------------------------------------------------------------ datasets

    def _post_dataset(self, asked: Asked) -> Reply:
        told = asked.message(self.replies.pb.Dataset)
        struck = self.faults.first(UPLOAD, "dataset", "expired-dataset")
        days = -1 if struck else KEPT_DAYS
        expires = None if told.permanent else now() + days * DAY
        name = tidy_name(told.name)
        made = self.store.add_dataset(lambda key, path: Dataset(key, name, now(), expires, path))
        return created(self.replies.pb, made.id, made.created, expires)

    def _get_datasets(self, asked: Asked) -> Reply:
        with self.store.lock:
            kept = [dataset for dataset in reversed(self.store.datasets.values()) if dataset.complete]
        made = [self.replies.dataset(dataset) for dataset in asked.page(kept)]
        return message(self.replies.pb.DatasetList(datasets=made, total_query_count=len(kept)))

    def _get_dataset(self, asked: Asked, key: str) -> Reply:
        return message(self.replies.dataset(self._dataset(key)))

    def _get_dataset_upload(self, asked: Asked, key: str) -> Reply:
        dataset, size = self._dataset(key), asked.whole("file_size", 0)
        if not 0 < size <= MOST_BYTES:
            raise Refusal(413 if size else 400, f"a dataset of {size} bytes cannot be uploaded")
        upload = self.store.promise(dataset.id, dataset.path, size, size)
        told = self.replies.pb.FileUploadResponse()
        told.url.url, told.url.file_field_name = f"{self.files_url}form/{upload.id}", _FIELD
        return message(told)

    def _patch_dataset(self, asked: Asked, key: str) -> Reply:
        told = asked.message(self.replies.pb.Dataset)
        dataset = self._dataset(key)
        if told.file_upload_complete:
            upload = next((one for one in self.store.uploads.values() if one.owner == dataset.id and one.parts), None)
            if upload is None:
                raise Refusal(400, "no file was uploaded")
            self.store.joined(upload, [upload.parts[0][0]])
            dataset.complete = True
        return created(self.replies.pb, dataset.id, dataset.created, dataset.expires)

    def _get_dataset_download(self, asked: Asked, key: str) -> Reply:
        dataset = self._dataset(key)
        if not dataset.complete:
            raise Refusal(404, f"the dataset {dataset.id} has no file")
        name = f"{dataset.name.removesuffix('.h5')}.h5"
        return self._download(asked, dataset.path, name)

    def model_page(self, key: str) -> Reply:
        """Return the page behind a model's URL."""
        model = self._model(key)
        made = f"made by the job {model.producer}" if model.producer else "uploaded"
        return page(f"model {model.id}", (model.name, made, f"SHA-256 {model.digest or 'not known yet'}"))

    # ------------------------------------------------------------ parts of answers

    def _download(self, asked: Asked, path: Path, filename: str) -> Reply:
        """Return where a file can be fetched; never credentials, which would lead the client out of this machine.

        The client has two calls for this: the newer one says that it takes credentials and reads another message.
        """
        name = tidy_name(filename)
        pb, url = self.replies.pb, f"{self.files_url}file/{self.store.offer(path, name)}"
        told = pb.FileDownloadURL(url=url, filename=name)
        return message(pb.FileDownloadResponse(url=told) if asked.one("supports_s3_credentials") else told)

    def _model(self, key: str) -> Model:
        found: Model = known(self.store.models, key)
        return found

    def _dataset(self, key: str) -> Dataset:
        found: Dataset = known(self.store.datasets, key)
        return found
