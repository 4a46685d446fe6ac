"""Fields that records gained after files of them had been written."""

from __future__ import annotations

from types import MappingProxyType

# Metadata of such a field: a file that lacks it is read with the field's default, any other missing field is refused.
# Only for what is shown and never judged: a default must not be able to stand in for evidence.
LATE = MappingProxyType({"late": True})
