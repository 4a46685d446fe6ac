"""The step graph at Qualcomm AI Hub: found where the same bytes were uploaded before, uploaded where not."""

from __future__ import annotations

import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fidelity_gate.devices.qai_hub_names import model_name
from fidelity_gate.errors import NotMeasured
from fidelity_gate.files import sha256_hex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.devices.qai_hub_client import Hub
    from fidelity_gate.records import StepFile

PAGE, PAGES = 100, 10  # of a listing; what is older than that is uploaded again
_FILE = "step.onnx"
_LARGEST = 4 << 30


def source_model(hub: Hub, graph: StepFile) -> Any:  # noqa: ANN401  (qai_hub.Model)
    """Return the uploaded step graph: what is there under its name only if its bytes are these.

    Raises:
        NotMeasured: the service did not take it.
    """
    for model in _named(hub, model_name(graph.digest)):
        if stored_digest(hub, model) == graph.digest:
            return model
    hub.say("uploading the step graph")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _FILE
        path.write_bytes(graph.data)
        name = model_name(graph.digest)
        return hub.once(
            "uploading the step graph", lambda: hub.client.upload_model(str(path), name=name, project=hub.project)
        )


def stored_digest(hub: Hub, model: Any) -> str:  # noqa: ANN401  (qai_hub.Model)
    """Return the SHA-256 of the file that the service holds for a model; "" where it holds none that is whole.

    Raises:
        OutOfTime: no time is left.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            return sha256_hex(_fetched(hub, model, folder).read_bytes())
        except NotMeasured:  # an upload that broke off leaves a name without a file
            return ""


def stored_file(hub: Hub, model: Any) -> bytes:  # noqa: ANN401  (qai_hub.Model)
    """Return the file that the service holds for a model; raises NotMeasured where it holds none."""
    with tempfile.TemporaryDirectory() as folder:
        return _fetched(hub, model, folder).read_bytes()


def stored_size(hub: Hub, model: Any) -> int:  # noqa: ANN401  (qai_hub.Model)
    """Return the bytes of a compiled model: of its file, or of all files in it where the service packs several.

    Raises:
        NotMeasured: it cannot be fetched, or is empty.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = _fetched(hub, model, folder)
        size = path.stat().st_size
        if path.suffix == ".zip" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                size = sum(item.file_size for item in packed.infolist())
    if not size:
        raise NotMeasured("the compiled model is empty")
    return size


def _fetched(hub: Hub, model: Any, folder: str) -> Path:  # noqa: ANN401  (qai_hub.Model)
    """Return where a model's file now is, inside the folder."""
    wanted = str(Path(folder) / "model")
    path = Path(hub.ask("fetching a model", lambda: model.download(wanted)))
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise NotMeasured("the service gave back something that is no model's file")
    return path


def _named(hub: Hub, name: str) -> Iterator[Any]:
    """Yield the models of this name, the latest first."""
    for page in range(PAGES):
        found = hub.ask(
            "listing models",
            partial(hub.client.get_models, offset=page * PAGE, limit=PAGE, project=hub.project),
        )
        yield from (model for model in found if model.name == name)
        if len(found) < PAGE:
            return
