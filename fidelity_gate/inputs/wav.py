"""Probes of frames from recordings: `.wav` files, cut into clips, and clips into the chunks that a model is fed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fidelity_gate.errors import InputsRefused, UnsafeContent
from fidelity_gate.files import read_file
from fidelity_gate.inputs.array_file import LIMIT_BYTES
from fidelity_gate.inputs.frame_arrays import MOST_VALUES, frame_rows
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.inputs.pcm import read_wav
from fidelity_gate.inputs.rows import check_first_and_count
from fidelity_gate.lazy import Postponed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.inputs.pcm import Recording
    from fidelity_gate.records import Probes
else:
    np = Postponed("numpy")

SUFFIX = ".wav"


@dataclass(frozen=True, slots=True)
class Wav:
    """Clips of recordings, (N, T, context + chunk): T chunks a clip, one a step, with the samples before each chunk.

    Every file is cut from its beginning into clips of `steps` chunks, one after another; what is left at its end is no
    whole clip and is not used. A model starts anew with every clip, so the first chunk's context is zeros.

    Attributes:
        path: a `.wav` file, or a folder whose `.wav` files are taken in the order of their names.
        rate: the sample rate that the files must have, in Hz; nothing is resampled.
        chunk: new samples a step.
        steps: chunks of a clip, T.
        context: samples before a chunk that are given with it.
        channel: which channel to take, from 0, or `mean` of all; without it files of several channels are refused.
        silent: what to do with a clip whose samples are all equal: `refuse` it, or `leave-out`, which the source tells.
        first: clips to leave out at the start.
        count: clips to take; by default all the rest.
    """

    path: str
    rate: int
    chunk: int
    steps: int
    context: int = 0
    channel: int | Literal["mean"] | None = None
    silent: Literal["refuse", "leave-out"] = "refuse"
    first: int = 0
    count: int | None = None

    def __post_init__(self) -> None:
        """Refuse options that no recording can meet."""
        if not self.path:
            raise InputsRefused("no file is named", field="path")
        check_first_and_count(self.first, self.count)
        for name, least in (("rate", 1), ("chunk", 1), ("steps", 1), ("context", 0)):
            if getattr(self, name) < least:
                raise InputsRefused(f"must be at least {least}", field=name)
        if isinstance(self.channel, int) and self.channel < 0:
            raise InputsRefused("must not be negative", field="channel", hint="channels count from 0")

    def probes(self, base: str) -> Probes:
        """Read the recordings and return their clips.

        Raises:
            InputsRefused: a file that is no plain PCM, or of another rate, or too short, or of several channels; a
                silent clip; fewer clips than are asked for.
            UnsafeContent: more samples than any probe set needs.
        """
        where = str(Path(base) / self.path)
        clips, silent, seen = self._clips(where)
        if len(clips) < (self.count or 1):
            stop = "on" if self.count is None else f"to {self.first + self.count - 1}"
            what = f"holds {seen} clips, but clips {self.first} {stop} are asked for"
            raise InputsRefused(what, where=where, field="count")
        return make_probes(frame_rows(np.stack(clips), where=where), None, source=self._source(len(clips), silent))

    def _clips(self, where: str) -> tuple[list[NDArray[np.float32]], int, int]:
        """Return the clips that are asked for (T, context + chunk), how many were silent, and how many were not."""
        clips: list[NDArray[np.float32]] = []
        silent = seen = 0
        most = MOST_VALUES // (self.steps * (self.chunk + self.context))
        for clip, place in self._all_clips(where):
            if clip.min() == clip.max():
                silent += self._one_silent(place)
                continue
            seen += 1
            if seen <= self.first:
                continue
            if len(clips) == most:
                hint = "take fewer: first and count"
                raise UnsafeContent(f"holds over {MOST_VALUES:,} samples to step on", where=where, hint=hint)
            clips.append(self._frames(clip))
            if len(clips) == self.count:
                break
        return clips, silent, seen

    def _all_clips(self, where: str) -> Iterator[tuple[NDArray[np.float32], str]]:
        """Yield every whole clip of every file, and where it is, for people."""
        length = self.steps * self.chunk
        for path in _files(where):
            samples = self._samples(read_wav(_bytes(path), where=path), path)
            if len(samples) < length:
                what = f"has {len(samples):,} samples, and a clip takes {length:,} ({self.steps} x {self.chunk})"
                raise InputsRefused(what, where=path, hint="take fewer steps, or leave the file out")
            for start in range(0, len(samples) - length + 1, length):
                yield samples[start : start + length], f"{path}, {start / self.rate:.2f} s"

    def _samples(self, recording: Recording, path: str) -> NDArray[np.float32]:
        """Return one channel: (L, C) -> (L,)."""
        if recording.rate != self.rate:
            what = f"has {recording.rate:,} samples a second, not {self.rate:,}"
            raise InputsRefused(what, where=path, field="rate", hint=f"ffmpeg -i IN -ar {self.rate} OUT.wav")
        channels = recording.samples.shape[1]
        if self.channel == "mean":
            return np.asarray(recording.samples.mean(axis=1, dtype=np.float32))
        if self.channel is None and channels > 1:
            hint = "channel: 0 takes the first, channel: mean mixes them"
            raise InputsRefused(f"has {channels} channels", where=path, field="channel", hint=hint)
        if (self.channel or 0) >= channels:
            what = f"there is no channel {self.channel} (the file has {channels}, counted from 0)"
            raise InputsRefused(what, where=path, field="channel")
        return recording.samples[:, self.channel or 0]

    def _one_silent(self, place: str) -> int:
        """Return 1, the silent clip that is left out; raises where none may be."""
        if self.silent == "refuse":
            what = (
                f"the clip of {self.steps * self.chunk / self.rate:.2f} s from here is silent (all samples are equal)"
            )
            raise InputsRefused(what, where=place, field="silent", hint="silent: leave-out goes on without such clips")
        return 1

    def _frames(self, clip: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a clip (T * chunk,) as what each step is given: (T, context + chunk)."""
        padded = np.concatenate((np.zeros(self.context, np.float32), clip))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.context + self.chunk)
        return np.asarray(windows[:: self.chunk])

    def _source(self, count: int, silent: int) -> str:
        part = f", clips {self.first} to {self.first + count - 1}" if self.first or self.count else ""
        left_out = f", {silent} silent left out" if silent else ""
        shape = f"{self.steps} x {self.chunk} samples at {self.rate} Hz"
        return f"{Path(self.path).name}{part}{left_out}, {shape}"


def recordings(folder: str) -> list[str]:
    """Return the `.wav` files of a folder, sorted by name; raises InputsRefused where it cannot be listed."""
    try:
        found = [path for path in Path(folder).iterdir() if path.suffix.lower() == SUFFIX and path.name[0] != "."]
    except OSError as error:
        raise InputsRefused("cannot be listed", where=folder, field="path") from error
    return [str(path) for path in sorted(found)]


def _files(where: str) -> list[str]:
    if not Path(where).is_dir():
        return [where]
    found = recordings(where)
    if not found:
        raise InputsRefused("is a folder without .wav files", where=where, field="path")
    return found


def _bytes(path: str) -> bytes:
    return read_file(path, limit_bytes=LIMIT_BYTES, kind=InputsRefused).data
