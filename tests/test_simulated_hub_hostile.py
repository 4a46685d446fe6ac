"""What strangers send to the simulated hub: it refuses it, hangs on nothing, and answers the next request."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fidelity_gate.errors import GateError
from fidelity_gate.simulated_hub import SimulatedHub
from fidelity_gate.simulated_hub.containers import unwrapped, wrapped
from fidelity_gate.simulated_hub.transport import LONGEST_BODY

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOBUF = "application/x-protobuf"


@pytest.fixture(scope="module")
def hub() -> Iterator[SimulatedHub]:
    with SimulatedHub(part_bytes=100) as listening:
        yield listening


def raw(hub: SimulatedHub, sent: bytes) -> bytes:
    """Return all that the hub says to these bytes."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=20) as connection:
        said = b""
        with contextlib.suppress(ConnectionError):  # it hangs up on what is too long to be read
            connection.sendall(sent)
            with contextlib.suppress(OSError):  # it hung up already
                connection.shutdown(socket.SHUT_WR)
            while block := connection.recv(65536):
                said += block
        return said


def ask(hub: SimulatedHub, method: str, path: str, body: bytes = b"", **more: str) -> tuple[int, bytes]:
    """Return status and body of the answer to one request with the right token."""
    headers = {"Host": f"127.0.0.1:{hub.port}", "Authorization": f"token {hub.token}", "Content-Length": str(len(body))}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
    said = raw(hub, f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
    return int(said.split(b" ", 2)[1] if said else 0), said.partition(b"\r\n\r\n")[2]


def alive(hub: SimulatedHub) -> bool:
    return ask(hub, "GET", "/api/v1/devices/")[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"x" * 70_000 + b"\r\n\r\n",
        b"FINISH / HTTP/1.1\r\n\r\n",
        b"POST /api/v1/jobs/ HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_noise_ends_nothing(hub: SimulatedHub, sent: bytes) -> None:
    assert b"HTTP/1.1 2" not in raw(hub, sent)
    assert alive(hub)


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/api/v1/devices/", {"Host": "evil.example"}, 403),
        ("GET", "/api/v1/devices/", {"Authorization": ""}, 401),
        ("GET", "/api/v1/devices/", {"Authorization": "token é"}, 401),
        ("GET", "/api/v1/devices", {}, 404),
        ("DELETE", "/api/v1/devices/", {}, 405),
        ("GET", "/api/v1/jobs/nothing/", {}, 404),
        ("GET", "/api/v1/jobs/../../etc/passwd/", {}, 404),
        ("GET", "/api/v1/job_summaries/?limit=-1", {}, 400),
        ("GET", "/api/v1/job_summaries/?limit=99999999999999999999", {}, 400),
        ("GET", "/api/v1/job_summaries/?" + "&".join(["a=b"] * 1000), {}, 400),
        ("GET", "/simulated/files/file/../../../etc/passwd", {}, 404),
        ("GET", "/simulated/jobs/nothing/", {}, 404),
        ("GET", "/etc/passwd", {}, 404),
        ("POST", "/api/v1/jobs/", {"Content-Length": "-1"}, 400),
        ("POST", "/api/v1/jobs/", {"Content-Length": "1e3"}, 400),
        ("POST", "/api/v1/jobs/", {"Content-Length": str(LONGEST_BODY + 1)}, 413),
        ("POST", "/api/v1/jobs/", {"Transfer-Encoding": "chunked"}, 411),
        ("POST", "/api/v1/jobs/", {}, 400),
    ],
)
def test_a_request_that_cannot_be_is_refused(
    hub: SimulatedHub, method: str, path: str, more: dict[str, str], status: int
) -> None:
    assert ask(hub, method, path, **more)[0] == status
    assert alive(hub)


@pytest.mark.parametrize("path", ["jobs/", "models/", "datasets/"])
def test_a_body_that_is_no_protobuf_gets_a_400(hub: SimulatedHub, path: str) -> None:
    for body, kind in ((b"\xff\xff\xff", PROTOBUF), (b'{"a": 1}', PROTOBUF), (b"\x0a\x01a", "application/json")):
        assert ask(hub, "POST", f"/api/v1/{path}", body, Content_Type=kind)[0] == 400


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200), path=st.sampled_from(["jobs/", "models/", "datasets/"]))
def test_no_body_breaks_the_hub(hub: SimulatedHub, body: bytes, path: str) -> None:
    assert ask(hub, "POST", f"/api/v1/{path}", body, Content_Type=PROTOBUF)[0] in (200, 400, 404)


# ---------------------------------------------------------------- uploads


def part_url(hub: SimulatedHub, size: int) -> tuple[str, str]:
    """Return the path of the first part of a new upload, and the model's id."""
    from qai_hub import public_api_pb2 as pb

    status, body = ask(hub, "POST", "/api/v1/models/", pb.Model(name="m").SerializeToString(), Content_Type=PROTOBUF)
    assert status == 200
    model = pb.CreateUpdateResponse.FromString(body).id
    status, body = ask(hub, "GET", f"/api/v1/models/{model}/multipart_upload/?file_size={size}")
    assert status == 200
    return pb.FileUploadResponse.FromString(body).multipart_url.urls[0].split(f":{hub.port}")[1], model


def test_a_part_that_is_larger_than_was_promised_is_refused(hub: SimulatedHub) -> None:
    url, _ = part_url(hub, 50)
    assert ask(hub, "PUT", url, b"x" * 51)[0] == 400
    assert ask(hub, "PUT", url, b"x" * 50)[0] == 200
    assert ask(hub, "PUT", url[:-1] + "7", b"x")[0] == 404


def test_a_part_that_ends_early_is_refused(hub: SimulatedHub) -> None:
    url, _ = part_url(hub, 50)
    assert ask(hub, "PUT", url, b"x" * 10, Content_Length="50")[0] == 400


@pytest.mark.parametrize(("size", "status"), [("0", 400), ("100001", 413), ("9" * 15, 413), ("x", 400)])
def test_a_model_that_is_too_large_is_refused_before_a_byte_is_sent(hub: SimulatedHub, size: str, status: int) -> None:
    _, model = part_url(hub, 1)
    assert ask(hub, "GET", f"/api/v1/models/{model}/multipart_upload/?file_size={size}")[0] == status


def test_an_upload_cannot_be_completed_for_another_model_or_with_other_etags(hub: SimulatedHub) -> None:
    from qai_hub import public_api_pb2 as pb

    url, model = part_url(hub, 5)
    ask(hub, "PUT", url, b"12345")
    _, other = part_url(hub, 5)
    told = pb.FileMultipartUploadComplete(upload_id=url.split("/")[-2], etags=['"wrong"']).SerializeToString()
    for key in (model, other):
        assert ask(hub, "POST", f"/api/v1/models/{key}/multipart_upload/", told, Content_Type=PROTOBUF)[0] == 400


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n12345\r\n--b--\r\n', FORM, 200),
        (b"--b\r\nname\r\n\r\n1234567890\r\n--b--\r\n", FORM, 400),  # more than was promised
        (b"--b\r\nname\r\n\r\n12345\r\n--c--\r\n", FORM, 400),
        (b"--c\r\nname\r\n\r\n12345\r\n--b--\r\n", FORM, 400),
        (b"12345", FORM, 400),
        (b"--b\r\n" + b"x" * 70_000, FORM, 400),
        (b"12345", "text/plain", 400),
        (b"", FORM, 400),
    ],
)
def test_a_dataset_comes_as_a_form_with_one_file(hub: SimulatedHub, body: bytes, kind: str, status: int) -> None:
    from qai_hub import public_api_pb2 as pb

    told = pb.Dataset(name="d").SerializeToString()
    made = ask(hub, "POST", "/api/v1/datasets/", told, Content_Type=PROTOBUF)[1]
    dataset = pb.CreateUpdateResponse.FromString(made).id
    told = ask(hub, "GET", f"/api/v1/datasets/{dataset}/upload_url/?file_size=5&supports_s3_credentials=true")[1]
    upload = pb.FileUploadResponse.FromString(told)
    assert upload.WhichOneof("method") == "url"  # credentials would lead the client out of this machine
    assert ask(hub, "POST", upload.url.url.split(f":{hub.port}")[1], body, Content_Type=kind)[0] == status
    done = pb.Dataset(file_upload_complete=True).SerializeToString()
    assert ask(hub, "PATCH", f"/api/v1/datasets/{dataset}/", done, Content_Type=PROTOBUF)[0] == status


# ---------------------------------------------------------------- containers


@given(data=st.binary(max_size=300), runtime=st.sampled_from(["tflite", "qnn_dlc", "onnx"]))
def test_a_container_gives_back_what_was_put_in(data: bytes, runtime: str) -> None:
    assert unwrapped(wrapped(data, runtime), "x") == data


@given(data=st.binary(min_size=1, max_size=100), cut=st.integers(1, 200))
def test_a_container_that_was_cut_is_refused(data: bytes, cut: int) -> None:
    held = wrapped(data, "tflite")
    shorter = held[: -min(cut, len(held) - 90)]
    with pytest.raises(GateError, match="cut or changed"):
        unwrapped(shorter, "x")
