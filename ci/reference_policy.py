"""The reference pages of the policy: every key of every block, from the JSON Schema, and the targets that ship."""

from __future__ import annotations

import json
from typing import Any

from ci.reference_text import cell, code, table
from fidelity_gate.policy.json_schema import schema_text
from fidelity_gate.policy.targets import SHIPPED
from fidelity_gate.units import format_value

Schema = dict[str, Any]
MANY = 8  # words; more of them are on pages of their own
LINKS = {
    ("CheckBlock", "metric"): "a [metric](metrics.md)",
    ("CheckBlock", "options"): "the [metric's](metrics.md) options",
    ("CandidateBlock", "model"): "facts and options, as [the format](models.md) takes them",
    ("ReferenceBlock", "model"): "facts and options, as [the format](models.md) takes them",
    ("DeviceBlock", "use"): "a [kind of device](devices.md), whose options stand beside it",
    ("InputsBlock", "use"): "a [source](inputs.md), whose options stand beside it",
    ("SourceBlock", "use"): "a [source](inputs.md), whose options stand beside it",
    ("LintBlock", "options"): "code: {option: value}, as on the [rule's page](../lint.md)",
}


def page() -> str:
    """Return every key of a policy, block by block."""
    schema = json.loads(schema_text())
    parts = [
        "# Policy keys",
        "Every key that a policy may have, with what it takes. [The policy](../policy.md) explains them; "
        "`fidelity-gate policy schema` prints the JSON Schema that this page is made of, for editors. "
        "Unknown keys are refused at every level.",
        "## The policy itself",
        _keys("", schema, schema["$defs"]),
    ]
    for name, block in sorted(schema["$defs"].items()):
        parts += [f"## {_title(name)}", str(block.get("description", "")), _keys(name, block, schema["$defs"])]
    return "\n\n".join(part for part in parts if part)


def _title(block: str) -> str:
    return block.removesuffix("Block")


def _keys(block: str, schema: Schema, blocks: Schema) -> str:
    required = set(schema.get("required", ()))
    rows = []
    for key, found in schema["properties"].items():
        takes = LINKS.get((block, key)) or _takes(found)
        inner = blocks.get(found.get("$ref", "").rpartition("/")[2], {})
        said = found.get("description") or inner.get("description", "")
        rows.append((code(key), takes, _default(key, found, required), str(said)))
    return table(("key", "takes", "when left out", ""), rows)


def _default(key: str, found: Schema, required: set[str]) -> str:
    if key in required:
        return "refused"
    default = found.get("default")
    return "" if default is None else code(json.dumps(default) if not isinstance(default, str) else default)


def _takes(found: Schema) -> str:
    """Return what a key takes, for people."""
    if "$ref" in found:
        return _block(found)
    if "anyOf" in found:
        return " or ".join(dict.fromkeys(_takes(one) for one in found["anyOf"]))
    if "const" in found:
        return code(str(found["const"]))
    if "enum" in found:
        words = found["enum"]
        shown = ", ".join(code(str(word)) for word in words[:MANY])
        return shown + (f" and {len(words) - MANY} more" if len(words) > MANY else "")
    return _plain(found)


def _block(found: Schema) -> str:
    title = _title(found["$ref"].rpartition("/")[2])
    return f"[{title}](#{title.lower()})"


def _plain(found: Schema) -> str:
    kind = found.get("type")
    if kind == "array":
        return f"a list of {_takes(found['items'])}"
    if kind == "object":
        return f"name: {_takes(_members(found))}" if _members(found) else "a block"
    if isinstance(kind, list):
        return "text or a number" if "boolean" not in kind else "text, a number, true or false"
    words = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    return cell(words.get(str(kind), "anything") + _range(found))


def _members(found: Schema) -> Schema:
    for key in ("patternProperties",):
        if key in found:
            return next(iter(found[key].values()))  # type: ignore[no-any-return]
    inner = found.get("additionalProperties")
    return inner if isinstance(inner, dict) else {}


def _range(found: Schema) -> str:
    ends = [
        (found.get("minimum"), "from"),
        (found.get("exclusiveMinimum"), "over"),
        (found.get("maximum"), "to"),
        (found.get("exclusiveMaximum"), "under"),
    ]
    told = " ".join(f"{word} {end:,}" for end, word in ends if end is not None)
    return f", {told}" if told else ""


def targets() -> str:
    """Return the device classes that ship."""
    rows = []
    for name, target in sorted(SHIPPED.items()):
        limits = {
            "sram": target.sram_bytes and format_value(target.sram_bytes, "bytes"),
            "flash": target.flash_bytes and format_value(target.flash_bytes, "bytes"),
            "latency": target.latency_s and format_value(target.latency_s, "seconds"),
        }
        properties = {
            "static_only": "true" if target.static_only else "",
            "tile": target.tile,
            "int8_min_tokens": target.int8_min_tokens,
            "max_opset": target.max_opset,
        }
        rows.append((code(name), _told(limits), _told(properties)))
    return "\n\n".join(
        [
            "# Targets that ship",
            "Device classes that a policy may name in `targets:`. Limits are for checks "
            "(`require: {max: target.sram}`), properties for [lint](../lint.md). Where the figures are "
            "from, and how to describe a device of your own: [the policy](../policy.md#targets).",
            table(("target", "limits", "properties"), rows),
        ]
    )


def _told(found: dict[str, Any]) -> str:
    return ", ".join(f"`{key}` {value}" for key, value in found.items() if value) or "none"
