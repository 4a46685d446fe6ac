"""How a policy asks Qualcomm AI Hub to compile and run: the runtime, the compute unit, and the options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FRAMEWORKS = {"onnx": "framework:onnx", "tflite": "framework:tflite", "qnn_dlc": "framework:qnn"}
RUNTIME, UNIT, ITERATIONS, OUTPUTS = "--target_runtime", "--compute_unit", "--max_profiler_iterations", "--output_names"
# What the service calls a model that was compiled for a runtime: the client's SourceModelType.
MODEL_TYPES = {"onnx": ("ONNX",), "tflite": ("TFLITE",), "qnn_dlc": ("QNN_DLC",)}
TRUNCATED = "--truncate_64bit_io"


@dataclass(frozen=True, slots=True)
class Asked:
    """How a policy wants step graphs to be compiled and run, whatever the device.

    Attributes:
        runtime: what the model is compiled for.
        compute_unit: where it is to run.
        options: of the compiler, beside runtime and unit.
        profile_options: of the profiler, beside unit and runs.
        runs: timed runs.
        max_age: seconds within which a finished job answers again.
    """

    runtime: str
    compute_unit: str
    options: str
    profile_options: str
    runs: int
    max_age: float

    def compiler(self, outputs: Sequence[str]) -> str:
        """Return the options that a compile job is sent; outputs keep the graph's own names and order."""
        own = f"{RUNTIME} {self.runtime} {UNIT} {self.compute_unit}"
        # The service splits at commas and blanks; with such a name the outputs keep the service's.
        plain = all(name and not set(name) & set(", \t\"'") for name in outputs)
        named = f"{OUTPUTS} {','.join(outputs)}" if outputs and plain else ""
        return " ".join(part for part in (own, named, self.options) if part)

    def profiler(self) -> str:
        """Return the options that a profile or inference job is sent."""
        own = f"{UNIT} {self.compute_unit} {ITERATIONS} {self.runs}"
        return " ".join(part for part in (own, self.profile_options) if part)

    @property
    def narrowed(self) -> bool:
        """Return whether 64-bit integers are 32-bit ones at the compiled model's inputs and outputs."""
        return TRUNCATED in self.options.split()


def specs(feeds: Mapping[str, NDArray[Any]]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shapes and types that a graph is compiled for: those that it is fed."""
    return {name: (tuple(array.shape), array.dtype.name) for name, array in feeds.items()}
