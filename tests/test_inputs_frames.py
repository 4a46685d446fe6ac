"""Probes of frames: numpy arrays of (N, T, ...) and recordings, read as they are or refused in their own words."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fidelity_gate.errors import GateError, InputsRefused, UnsafeContent
from fidelity_gate.inputs import wav
from fidelity_gate.inputs.frames import Frames
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.inputs.npz import Npz
from fidelity_gate.inputs.opening import from_path, open_inputs
from fidelity_gate.inputs.pcm import read_wav
from fidelity_gate.inputs.wav import Wav
from fidelity_gate.policy.loading import Overrides, load_policy_text
from fidelity_gate.records import InputsSpec, Probes

VALUES = np.random.default_rng(3).normal(size=(4, 5, 6)).astype(np.float32)
RATE = 16_000


def opened(path: Path | str, **options: object) -> Probes:
    return open_inputs(InputsSpec("frames", tuple(sorted({"path": str(path), **options}.items()))))


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "audio.npz", **arrays)
    return folder / "audio.npz"


# ---------------------------------------------------------------- frames of numpy files


def test_frames_of_an_archive_are_the_probes(tmp_path: Path) -> None:
    probes = opened(saved(tmp_path, frames=VALUES, labels=np.arange(4)))
    assert probes.frames
    assert probes.inputs.dtype == np.float32
    assert np.array_equal(probes.inputs, VALUES)
    assert probes.labels is None
    assert probes.source == "audio.npz"


def test_another_array_fewer_rows_and_fewer_steps_can_be_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path, mel=VALUES, frames=VALUES[:1])
    probes = opened(path, frames="mel", first=1, count=2, steps=3)
    assert np.array_equal(probes.inputs, VALUES[1:3, :3])
    assert probes.source == "audio.npz, rows 1 to 2"


def test_a_npy_file_and_an_archive_of_the_same_frames_have_the_same_digest(tmp_path: Path) -> None:
    np.save(tmp_path / "audio.npy", np.asfortranarray(VALUES.astype(np.float64)))
    digests = {opened(tmp_path / "audio.npy").digest, opened(saved(tmp_path, frames=VALUES)).digest}
    assert digests == {make_probes(VALUES, None, source="memory").digest}
    digests.add(opened(saved(tmp_path, frames=VALUES), steps=4).digest)
    assert len(digests) == 2


@pytest.mark.parametrize("dtype", ["i2", "u1", ">i4"])
def test_whole_numbers_are_values_once_their_scale_is_said(tmp_path: Path, dtype: str) -> None:
    whole = np.arange(60).reshape(2, 5, 6).astype(dtype)
    path = saved(tmp_path, frames=whole)
    with pytest.raises(InputsRefused, match=r"holds whole numbers .*what they mean as values is not said \(scale: "):
        opened(path)
    probes = opened(path, scale=2**-15)
    assert np.array_equal(probes.inputs, whole.astype(np.float32) / 2**15)


REFUSED_ARRAYS = {
    "NaN": (np.where(VALUES[2, 3, 4] == VALUES, np.nan, VALUES), "frames: row 2, frame 3 is not finite"),
    "Inf": (np.where(VALUES > 0, np.inf, VALUES), r"not finite in float32 \(\d+ such values\)"),
    "beyond float32": (VALUES.astype(np.float64) * 1e300, "not finite in float32"),
    "text": (np.full((2, 2, 2), "a"), "holds <U1, not floating point numbers"),
    "true and false": (VALUES > 0, "holds bool, not floating point"),
    "complex numbers": (VALUES * 1j, "holds complex64, not floating"),
    "one value": (np.float32(1), r"has shape \[\], which holds no frames"),
    "one axis": (VALUES[0, 0], r"has shape \[6\], which holds no frames"),
    "two axes": (VALUES[0], r"has shape \[5, 6\], which holds no frames \(\(probes, frames, values of a frame\)"),
    "no probes": (VALUES[:0], r"has shape \[0, 5, 6\], which holds no frames"),
    "no frames": (VALUES[:, :0], r"has shape \[4, 0, 6\], which holds no frames"),
    "a constant probe": (np.where(np.arange(4)[:, None, None] == 1, 0.25, VALUES), "row 1: every value of a probe"),
    "a repeated probe": (VALUES[[0, 1, 0]], r"row 2 repeat earlier probes \(row 2 is row 0\)"),
}


@pytest.mark.parametrize("case", REFUSED_ARRAYS)
def test_an_array_that_holds_no_frames_is_refused(tmp_path: Path, case: str) -> None:
    array, message = REFUSED_ARRAYS[case]
    with pytest.raises(InputsRefused, match=message) as caught:
        opened(saved(tmp_path, frames=array))
    assert len(str(caught.value)) <= 200


def test_pickled_arrays_are_never_read(tmp_path: Path) -> None:
    with pytest.raises(UnsafeContent, match="frames: holds Python objects"):
        opened(saved(tmp_path, frames=np.array([[[{}]]], dtype=object)))


REFUSED_OPTIONS = {
    "no path": ({"path": ""}, "path: no file is named"),
    "a file that is not there": ({"path": "nothing.npz"}, "there is no such file"),
    "an array that is not there": ({"frames": "frame"}, r"no array named 'frame' \(did you mean frames\?\)"),
    "more probes than there are": ({"count": 5}, "has 4 rows, but rows 0 to 4 are asked for"),
    "negative first": ({"first": -1}, "first: must not be negative"),
    "no rows": ({"count": 0}, "count: must be at least 1"),
    "more steps than there are": ({"steps": 6}, "steps: has 5 frames a probe, 6 are asked for"),
    "no steps": ({"steps": 0}, "steps: must be at least 1"),
    "a scale of floats": ({"scale": 0.5}, "scale: is for whole numbers, and the file holds float32"),
    "a scale of nothing": ({"scale": 0.0}, "scale: must be above 0"),
}


@pytest.mark.parametrize("case", REFUSED_OPTIONS)
def test_options_that_the_file_cannot_meet_are_refused(tmp_path: Path, case: str) -> None:
    options, message = REFUSED_OPTIONS[case]
    path = saved(tmp_path, frames=VALUES)
    with pytest.raises(InputsRefused, match=message):
        Frames(**{"path": str(path), **options}).probes(str(tmp_path))


def test_a_name_means_nothing_to_a_npy_file_and_other_bytes_are_no_frames(tmp_path: Path) -> None:
    np.save(tmp_path / "audio.npy", VALUES)
    with pytest.raises(InputsRefused, match="has no array named 'mel'"):
        opened(tmp_path / "audio.npy", frames="mel")
    (tmp_path / "audio.npz").write_bytes(b"RIFF")
    with pytest.raises(InputsRefused, match=r"neither a \.npz nor a \.npy"):
        opened(tmp_path / "audio.npz")


def test_frames_given_as_tokens_are_told_which_source_reads_them(tmp_path: Path) -> None:
    with pytest.raises(InputsRefused, match="use: frames"):
        Npz(str(saved(tmp_path, inputs=VALUES))).probes("")


# ---------------------------------------------------------------- recordings


def noise(seconds: float, seed: int = 0, channels: int = 1, dtype: str = "<i2") -> np.ndarray:
    limits = np.iinfo(dtype)
    samples = np.random.default_rng(seed).integers(limits.min, limits.max, (int(seconds * RATE), channels))
    return samples.astype(dtype)


def recorded(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(samples.itemsize)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def heard(path: Path | str, **options: object) -> Probes:
    usual = {"path": str(path), "rate": RATE, "chunk": 512, "steps": 10}
    return open_inputs(InputsSpec("wav", tuple(sorted({**usual, **options}.items()))))


def test_a_recording_is_cut_into_clips_and_clips_into_chunks(tmp_path: Path) -> None:
    samples = noise(1)
    probes = heard(recorded(tmp_path / "a.wav", samples))
    assert probes.inputs.shape == (3, 10, 512)  # 16,000 samples are three clips of 5,120, and 640 that are no clip
    assert np.array_equal(probes.inputs.reshape(-1), samples[: 3 * 5120, 0] / np.float32(32768))
    assert probes.frames
    assert probes.source == "a.wav, 10 x 512 samples at 16000 Hz"


def test_context_is_what_came_before_the_chunk_and_zeros_before_the_clip(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.wav", noise(1))
    plain, wider = heard(path).inputs, heard(path, context=64).inputs
    assert wider.shape == (3, 10, 576)
    assert np.array_equal(wider[:, :, 64:], plain)
    assert np.array_equal(wider[:, 1:, :64], plain[:, :-1, -64:])
    assert not wider[:, 0, :64].any()


def test_context_may_be_longer_than_a_chunk(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.wav", noise(1))
    samples = heard(path).inputs.reshape(3, -1)
    wider = heard(path, context=1000).inputs
    assert np.array_equal(wider[1, 5], samples[1, 5 * 512 - 1000 : 6 * 512])


def test_a_folder_is_its_recordings_in_the_order_of_their_names(tmp_path: Path) -> None:
    for seed, name in enumerate(("b.WAV", "a.wav", ".hidden.wav")):
        recorded(tmp_path / name, noise(0.7, seed))
    (tmp_path / "labels.txt").write_text("not a recording")
    probes = heard(tmp_path)
    alone = [heard(tmp_path / name).inputs for name in ("a.wav", "b.WAV")]
    assert np.array_equal(probes.inputs, np.concatenate(alone))


def test_clips_can_be_left_out_and_counted(tmp_path: Path) -> None:
    for seed in range(3):
        recorded(tmp_path / f"{seed}.wav", noise(0.7, seed))
    probes = heard(tmp_path, first=1, count=3)
    assert np.array_equal(probes.inputs, heard(tmp_path).inputs[1:4])
    assert "clips 1 to 3" in probes.source
    with pytest.raises(InputsRefused, match="holds 6 clips, but clips 4 to 6 are asked for"):
        heard(tmp_path, first=4, count=3)
    with pytest.raises(InputsRefused, match="holds 6 clips, but clips 6 on are asked for"):
        heard(tmp_path, first=6)


@pytest.mark.parametrize("dtype", ["u1", "<i2", "<i4"])
def test_every_width_of_pcm_has_the_same_full_scale(tmp_path: Path, dtype: str) -> None:
    limits, middle = np.iinfo(dtype), 128 if dtype == "u1" else 0
    samples = np.array([[limits.min], [middle], [limits.max], [(limits.max + middle + 1) // 2]], dtype)
    path = recorded(tmp_path / "a.wav", samples)
    low, zero, high, half = read_wav(path.read_bytes(), where="a.wav").samples[:, 0].tolist()
    assert (low, zero, half) == (-1.0, 0.0, 0.5)
    assert 0.99 <= high <= 1.0


def test_samples_of_24_bits_are_those_of_32_without_the_last_eight(tmp_path: Path) -> None:
    wide = noise(0.5, dtype="<i4") & ~np.int32(255)
    narrow = wide.view(np.uint8).reshape(-1, 4)[:, 1:]
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 3, RATE, 0, "NONE", ""))
        file.writeframes(narrow.tobytes())
    whole = recorded(tmp_path / "b.wav", wide)
    pair = [read_wav((tmp_path / name).read_bytes(), where="").samples for name in ("a.wav", whole.name)]
    assert np.array_equal(*pair)


def test_channels_are_mixed_or_chosen_only_when_the_policy_says_so(tmp_path: Path) -> None:
    samples = noise(0.7, channels=2)
    path = recorded(tmp_path / "a.wav", samples)
    with pytest.raises(InputsRefused, match=r"channel: has 2 channels \(channel: 0 takes the first"):
        heard(path)
    second, mixed = heard(path, channel=1).inputs, heard(path, channel="mean").inputs
    assert np.array_equal(second.reshape(-1), samples[:10240, 1] / np.float32(32768))
    assert np.allclose(mixed.reshape(-1), samples[:10240].mean(axis=1) / 32768, atol=1e-7)
    with pytest.raises(InputsRefused, match=r"there is no channel 2 \(the file has 2, counted from 0\)"):
        heard(path, channel=2)


def test_silent_clips_are_refused_with_their_place_or_left_out_and_told(tmp_path: Path) -> None:
    samples = noise(1.3)
    samples[5120:10240] = 7  # nothing but a constant offset is silence too
    path = recorded(tmp_path / "a.wav", samples)
    with pytest.raises(InputsRefused, match=r"a\.wav, 0\.32 s: silent: the clip of 0\.32 s from here is silent"):
        heard(path)
    probes = heard(path, silent="leave-out")
    assert np.array_equal(probes.inputs[1], heard(path, silent="leave-out", first=1, count=1).inputs[0])
    assert np.array_equal(probes.inputs[1].reshape(-1), samples[10240:15360, 0] / np.float32(32768))
    assert "1 silent left out" in probes.source


WHOLE = noise(0.7)


def wav_bytes(samples: np.ndarray = WHOLE, rate: int = RATE) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((samples.shape[1], samples.itemsize, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return stream.getvalue()


def with_field(offset: int, form: str, value: int) -> bytes:
    """Return the recording with another value in its header: format at 20, channels 22, rate 24, bits 34, size 40."""
    data = bytearray(wav_bytes())
    struct.pack_into(form, data, offset, value)
    return bytes(data)


REFUSED_BYTES = {
    "zero bytes": (b"", "zero bytes"),
    "text": (b"hello, this is no recording", r"is not a readable \.wav file"),
    "only a header": (wav_bytes()[:44], "is cut off: 11,200 samples declared, 0 there"),
    "half a header": (wav_bytes()[:30], r"is not a readable \.wav file"),
    "cut off": (wav_bytes()[:-2000], "is cut off: 11,200 samples declared, 10,200 there"),
    "written to a pipe": (with_field(40, "<I", 2**32 - 1), "is cut off: 2,147,483,647 samples declared"),
    "floating point": (with_field(20, "<H", 3), r"unknown format: 3\) \(ffmpeg -i IN -c:a pcm_s16le"),
    "mu-law": (with_field(20, "<H", 7), "unknown format: 7"),
    "no channels": (with_field(22, "<H", 0), "bad # of channels"),
    "samples of 8 bytes": (with_field(34, "<H", 64), "has samples of 8 bytes"),
    "a rate of 0": (with_field(24, "<I", 0), "has a sample rate of 0"),
    "no samples": (wav_bytes(WHOLE[:0]), "holds no samples"),
    "another rate": (wav_bytes(rate=44_100), r"rate: has 44,100 samples a second, not 16,000 \(ffmpeg -i IN -ar 16000"),
    "too short": (wav_bytes(WHOLE[:5119]), r"has 5,119 samples, and a clip takes 5,120 \(10 x 512\)"),
}


@pytest.mark.parametrize("case", REFUSED_BYTES)
def test_bytes_that_are_no_usable_recording_are_refused_in_their_own_words(tmp_path: Path, case: str) -> None:
    data, message = REFUSED_BYTES[case]
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(InputsRefused, match=message) as caught:
        heard(tmp_path / "a.wav")
    assert "a.wav" in str(caught.value)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ""}, "path: no file is named"),
        ({"path": "nothing.wav"}, "there is no such file"),
        ({"rate": 0}, "rate: must be at least 1"),
        ({"chunk": 0}, "chunk: must be at least 1"),
        ({"steps": 0}, "steps: must be at least 1"),
        ({"context": -1}, "context: must be at least 0"),
        ({"channel": -1}, "channel: must not be negative"),
        ({"first": -1}, "first: must not be negative"),
        ({"count": 0}, "count: must be at least 1"),
    ],
)
def test_options_that_no_recording_can_meet_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputsRefused, match=message):
        Wav(**{"path": "a.wav", "rate": RATE, "chunk": 512, "steps": 10, **options}).probes("")


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"ID3")
    with pytest.raises(InputsRefused, match=r"is a folder without \.wav files"):
        heard(tmp_path)


def test_more_samples_than_any_probe_set_needs_are_refused_before_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav, "MOST_VALUES", 2 * 5120 + 5119)
    path = recorded(tmp_path / "a.wav", noise(1))
    with pytest.raises(UnsafeContent, match=r"over 15,359 samples to step on \(take fewer"):
        heard(path)
    assert len(heard(path, count=2)) == 2


def test_the_same_recording_twice_is_refused(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        recorded(tmp_path / name, noise(0.7))
    with pytest.raises(InputsRefused, match="rows 2, 3 repeat earlier probes"):
        heard(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_recordings_are_read_as_they_are_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(wav_bytes(WHOLE[:600]))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 255))
    (tmp_path / "a.wav").write_bytes(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))
    try:
        probes = heard(tmp_path / "a.wav", chunk=32, steps=4)
    except GateError:
        return
    assert probes.inputs.shape[1:] == (4, 32)
    assert np.abs(probes.inputs).max() <= 1


# ---------------------------------------------------------------- the command line and policies


def test_recordings_and_folders_of_them_are_told_by_their_suffix(tmp_path: Path) -> None:
    recorded(tmp_path / "a.wav", WHOLE)
    for path in (tmp_path, tmp_path / "a.wav", tmp_path / "A.WAV"):
        assert from_path(str(path)) == InputsSpec("wav", (("path", str(path)),))


def test_a_folder_that_has_a_sources_name_is_its_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wav").mkdir()
    recorded(tmp_path / "wav" / "a.wav", WHOLE)
    assert from_path("wav").options == (("path", "wav"),)


def test_the_command_line_names_frames_and_recordings_with_their_keys(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.wav", noise(0.7, channels=2))
    spec = from_path(f"wav:path={path},rate=16000,chunk=256,steps=10,channel=1,context=64")
    assert open_inputs(spec).inputs.shape == (4, 10, 320)
    assert dict(from_path("wav:path=a,rate=8000,chunk=1,steps=1,channel=mean").options)["channel"] == "mean"
    assert open_inputs(from_path(f"frames:path={saved(tmp_path, frames=VALUES)},steps=2")).inputs.shape == (4, 2, 6)


POLICY = """\
apiVersion: fidelity-gate/v1
name: p
reference: a.onnx
candidates: {b: b.onnx}
inputs: {use: wav, path: clips, rate: 16000, chunk: 512, steps: 10}
recursion: {h_cycles: 1, l_cycles: 1, steps: 10}
checks: {size: {metric: model_size, require: {max: 1 MB}}}
"""


def test_another_recording_on_the_command_line_is_cut_as_the_policy_says(tmp_path: Path) -> None:
    path = recorded(tmp_path / "other.wav", WHOLE)
    policy = load_policy_text(POLICY, "p.yaml", Overrides(inputs=from_path(str(path))))
    assert open_inputs(policy.inputs).inputs.shape == (2, 10, 512)
