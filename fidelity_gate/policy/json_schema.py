"""The policy's JSON Schema, for editors: the shape from the pydantic models, the options from the metrics."""

from __future__ import annotations

import inspect
import json
from typing import Any

from pydantic import TypeAdapter

from fidelity_gate import registry
from fidelity_gate.policy.extending import KEY as EXTENDS
from fidelity_gate.policy.linting import ROOM
from fidelity_gate.policy.merging import BASE, OWN
from fidelity_gate.policy.schema import PolicyBlock
from fidelity_gate.policy.schema_values import ZOO
from fidelity_gate.policy.targets import SHIPPED

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

# Blocks that a policy may say a part of, where the rest is said by a policy that it extends.
_ONE = {
    "baseline": "BaselineBlock",
    "history": "HistoryBlock",
    "inputs": "InputsBlock",
    "recursion": "RecursionBlock",
    "reference": "ReferenceBlock",
}
_NAMED = {
    "candidates": "CandidateBlock",
    "checks": "CheckBlock",
    "devices": "DeviceBlock",
    "energy_models": "EnergyModelBlock",
}


def schema_text() -> str:
    """Return the JSON Schema of a policy, with every metric and source that is installed."""
    schema: Schema = {"$schema": DIALECT, **PolicyBlock.model_json_schema(by_alias=True)}
    _allow_bare(schema["properties"], schema["$defs"])
    _name_plugs(schema["$defs"])
    _name_rules(schema["$defs"]["LintBlock"]["properties"])
    _require_when_alone(schema, schema["$defs"])
    _tidy(schema)
    return json.dumps(schema, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _require_when_alone(schema: Schema, definitions: Schema) -> None:
    """Require a policy's keys only where it extends no other one, which may say them."""
    alone: Schema = {key: {"required": definitions[block].pop("required")} for key, block in _ONE.items()}
    for key, block in _NAMED.items():
        alone[key] = {"additionalProperties": {"required": definitions[block].pop("required")}}
    per_probe = [name for name in registry.table_of("metrics") if registry.find("metrics", name).per_probe]
    measured = {"properties": {"metric": {"enum": per_probe}}, "required": ["metric"]}
    alone["checks"]["additionalProperties"] |= {"if": measured, "then": {"required": ["aggregate"]}}
    required = schema["required"]
    schema["required"] = [key for key in required if key in OWN]
    schema["if"] = {"not": {"anyOf": [{"required": [EXTENDS]}, {"required": [BASE]}]}}
    schema["then"] = {"required": required, "properties": alone}


def _tidy(value: Any) -> None:  # noqa: ANN401  (JSON)
    """Take out null, because a key without a value is refused, and the titles that only repeat the keys."""
    if isinstance(value, dict):
        _tidy_block(value)
    for item in list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        _tidy(item)


def _tidy_block(block: Schema) -> None:
    if block.get("default", ...) is None:
        del block["default"]
    if isinstance(block.get("title"), str):
        del block["title"]
    members = [member for member in block.pop("anyOf", ()) if member != {"type": "null"}]
    block.update(members[0] if len(members) == 1 else {"anyOf": members} if members else {})


def _allow_bare(properties: Schema, definitions: Schema) -> None:
    """Allow the short forms: a path or a name as a bare string instead of a block; and close the mappings of names."""
    path, zoo, shipped = {"type": "string"}, {"type": "string", "pattern": f"^{ZOO}"}, {"enum": sorted(SHIPPED)}
    sources = definitions["InputsBlock"]["properties"]
    candidates, targets = (_not_null(properties[key]) for key in ("candidates", "targets"))
    properties["reference"] = _or_text(properties["reference"], path)
    properties["inputs"] = _or_text(properties["inputs"], zoo)
    sources["calibration"] = _or_text(sources["calibration"], zoo)
    targets["items"] = _or_text(targets["items"], shipped)
    names = candidates["patternProperties"]
    for pattern, block in names.items():
        names[pattern] = _or_text(block, path)
    for closed in (
        candidates,
        properties["checks"],
        *(_not_null(properties[key]) for key in ("energy_models", "devices")),
    ):
        closed["additionalProperties"] = False


def _not_null(block: Schema) -> Schema:
    found: Schema = next(member for member in block["anyOf"] if member != {"type": "null"})
    return found


def _ordered(option: Schema) -> Schema:
    """Sort what has no order: Python caches `int | str`, and hands out whichever spelling it has met first."""
    if "enum" in option:
        option["enum"] = sorted(option["enum"], key=str)
    if "anyOf" in option:
        option["anyOf"] = sorted(map(_ordered, option["anyOf"]), key=lambda member: json.dumps(member, sort_keys=True))
    return option


def _or_text(block: Schema, text: Schema) -> Schema:
    described: Schema = {key: block.pop(key) for key in ("description", "default") if key in block}
    return {**described, "anyOf": [text, *block.get("anyOf", [block])]}


def _name_plugs(definitions: Schema) -> None:
    """List the metrics with their options, and the sources of probes."""
    metrics = registry.table_of("metrics")
    check = definitions["CheckBlock"]
    check["properties"]["metric"]["enum"] = list(metrics)
    check["allOf"] = [_options_of(name) for name in metrics]
    sources = [*registry.table_of("inputs"), "zoo"]
    for block in ("InputsBlock", "SourceBlock"):
        definitions[block]["properties"]["use"]["enum"] = sources
    definitions["DeviceBlock"]["properties"]["use"]["enum"] = list(registry.table_of("devices"))
    for block in ("ReferenceBlock", "CandidateBlock"):
        definitions[block]["properties"]["use"]["enum"] = list(registry.table_of("models"))


def _name_rules(properties: Schema) -> None:
    """List the codes of the lint rules with their beginnings, and the options of those that have any."""
    codes = registry.table_of(ROOM)
    names = {"enum": sorted({code[:length] for code in codes for length in range(2, len(code) + 1)})}
    for key in ("select", "ignore"):
        _not_null(properties[key])["items"] = names
    _not_null(properties["severity"])["propertyNames"] = names
    blocks = {code: _option_block(ROOM, code) for code in codes}
    options = _not_null(properties["options"])
    options["properties"] = {code: block for code, block in blocks.items() if block["properties"]}
    options["additionalProperties"] = False


def _option_block(room: str, name: str) -> Schema:
    """Return the options of a plug as a closed object."""
    plug = registry.find(room, name)
    types = registry.option_types(plug)
    return {
        "description": inspect.getdoc(plug) or name,
        "type": "object",
        "properties": {key: _ordered(TypeAdapter(kind).json_schema()) for key, kind in types.items()},
        "additionalProperties": False,
    }


def _options_of(name: str) -> Schema:
    """Return the rule that a check of this metric has these options, and perhaps no aggregate."""
    plug = registry.find("metrics", name)
    then: Schema = {"properties": {"options": _option_block("metrics", name)}}
    if not plug.per_probe:
        then["properties"]["aggregate"] = False
    return {"if": {"properties": {"metric": {"const": name}}, "required": ["metric"]}, "then": then}
