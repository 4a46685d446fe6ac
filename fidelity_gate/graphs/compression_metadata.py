"""What a compressed step graph says of itself in `metadata_props`: recipe, origin, calibration rows; all claims."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.step_metadata import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import StateRange

RECIPE = f"{PREFIX}recipe"
MADE_FROM = f"{PREFIX}made_from"
CALIBRATION_DIGEST = f"{PREFIX}calibration_digest"
CALIBRATION_ROWS = f"{PREFIX}calibration_rows"
STATE_RANGE = f"{PREFIX}range."  # + name of the state input
_ROWS = re.compile(r"[0-9a-f]{32}( [0-9a-f]{32})*", re.ASCII)
_MOST_CHARACTERS = 2**26


@dataclass(frozen=True, slots=True)
class CompressionMetadata:
    """What was done to a step graph.

    Attributes:
        recipe: with every option, as `compress --recipe` takes it.
        made_from: sha256 of the step graph that it was made from.
        calibration_digest: of the calibration probes; "" where there were none.
        calibration_rows: digest of every calibration row.
        ranges: of every state, where calibration ran.
    """

    recipe: str
    made_from: str = ""
    calibration_digest: str = ""
    calibration_rows: tuple[str, ...] = ()
    ranges: tuple[StateRange, ...] = ()

    def properties(self) -> dict[str, str]:
        """Return the keys and values of `metadata_props`, sorted."""
        told = {
            RECIPE: self.recipe,
            MADE_FROM: self.made_from,
            CALIBRATION_DIGEST: self.calibration_digest,
            CALIBRATION_ROWS: " ".join(self.calibration_rows),
        }
        told |= {STATE_RANGE + found.state: _bounds(found) for found in self.ranges}
        return {key: text for key, text in sorted(told.items()) if text}


def compression_metadata(metadata: Mapping[str, str], where: str = "") -> CompressionMetadata | None:
    """Return what a graph's metadata says was done to it, without the ranges; None where it names no recipe.

    Raises:
        ModelRefused: the calibration rows are no digests.
    """
    recipe = metadata.get(RECIPE, "")
    if not recipe:
        return None
    rows = metadata.get(CALIBRATION_ROWS, "")
    if rows and (len(rows) > _MOST_CHARACTERS or not _ROWS.fullmatch(rows)):
        hint = "32 hexadecimal digits a row, blanks between"
        raise ModelRefused("holds what are no digests of rows", where=where, field=CALIBRATION_ROWS, hint=hint)
    return CompressionMetadata(
        recipe, metadata.get(MADE_FROM, ""), metadata.get(CALIBRATION_DIGEST, ""), tuple(rows.split())
    )


def _bounds(found: StateRange) -> str:
    """Return `[[low, high], ...]`, one pair a run, to six digits."""
    pairs = zip(found.lows, found.highs, strict=True)
    return json.dumps([[float(f"{low:.6g}"), float(f"{high:.6g}")] for low, high in pairs], separators=(",", ":"))
