"""Probes of frames from numpy files: another chunk of a signal at every step, for models that stream."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import InputsRefused
from fidelity_gate.files import read_file
from fidelity_gate.inputs.array_file import LIMIT_BYTES
from fidelity_gate.inputs.frame_arrays import frame_rows, refuse_frameless
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.inputs.rows import check_first_and_count, chosen_rows, rows_named
from fidelity_gate.lazy import Postponed
from fidelity_gate.registry import unknown
from fidelity_gate.storage.npyfile import NPY_MAGIC, ZIP_MAGIC, read_npy, read_npz

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.records import Probes
else:
    np = Postponed("numpy")

USUAL_NAME = "frames"


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames from a `.npz` or a `.npy` file: (N, T, ...), N probes of T frames of any shape; step t is given frame t.

    Attributes:
        path: the file, against the policy's folder.
        frames: name of the array in a `.npz`.
        scale: what whole numbers are multiplied by (int16 audio: 3.0517578125e-05); without it they are refused.
        steps: the frames of each probe to take, from its beginning; by default all.
        first: probes to leave out at the start.
        count: probes to take; by default all the rest.
    """

    path: str
    frames: str = USUAL_NAME
    scale: float | None = None
    steps: int | None = None
    first: int = 0
    count: int | None = None

    def __post_init__(self) -> None:
        """Refuse options that no file can meet."""
        if not self.path:
            raise InputsRefused("no file is named", field="path")
        check_first_and_count(self.first, self.count)
        if self.steps is not None and self.steps < 1:
            raise InputsRefused("must be at least 1", field="steps")
        if self.scale is not None and self.scale <= 0:
            raise InputsRefused("must be above 0", field="scale")

    def probes(self, base: str) -> Probes:
        """Read the file and return its frames as float32.

        Raises:
            InputsRefused: not a numpy file, no such array, whole numbers without a scale, fewer than three axes, values
                that are not finite, or fewer probes or frames than are asked for.
            UnsafeContent: pickled objects, or more than any probe set needs.
        """
        where = str(Path(base) / self.path)
        array = self._array(where)
        refuse_frameless(array.shape, where=where, field=self.frames)
        rows = chosen_rows(len(array), self.first, self.count, where)
        taken = self._scaled(array[rows, : self._taken(array.shape[1], where)], where)
        source = rows_named(Path(self.path).name, len(array), rows)
        return make_probes(frame_rows(taken, where=where, field=self.frames), None, source=source)

    def _array(self, where: str) -> NDArray[Any]:
        data = read_file(where, limit_bytes=LIMIT_BYTES, kind=InputsRefused).data
        if data.startswith(NPY_MAGIC):
            if self.frames != USUAL_NAME:
                hint = "a .npy file holds one array without a name: leave frames out"
                raise InputsRefused(f"has no array named '{self.frames}'", where=where, hint=hint)
            return read_npy(data, where=where)
        if not data.startswith(ZIP_MAGIC):
            raise InputsRefused("is neither a .npz nor a .npy file", where=where)
        members = read_npz(data, where=where, limit_bytes=LIMIT_BYTES)
        if self.frames not in members:
            raise unknown(self.frames, members, what="there is no array named", where=where, kind=InputsRefused)
        return read_npy(members[self.frames], where=where, field=self.frames)

    def _scaled(self, array: NDArray[Any], where: str) -> NDArray[Any]:
        """Return floating point numbers: those of the file, or its whole numbers times the scale."""
        whole = array.dtype.kind in "iu"
        if whole and self.scale is None:
            what = f"holds whole numbers ({array.dtype}), and what they mean as values is not said"
            hint = "scale: 3.0517578125e-05 for int16 audio, or scale: 1"
            raise InputsRefused(what, where=where, field=self.frames, hint=hint)
        if self.scale is None:
            return array
        if not whole:
            what = f"is for whole numbers, and the file holds {array.dtype}"
            raise InputsRefused(what, where=where, field="scale", hint="leave it out")
        return np.asarray(array * np.float64(self.scale))

    def _taken(self, there: int, where: str) -> int:
        if self.steps is not None and self.steps > there:
            raise InputsRefused(f"has {there} frames a probe, {self.steps} are asked for", where=where, field="steps")
        return self.steps or there
