"""Small models for lint rules, each written to a real file and opened as a user's would be."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fidelity_gate.analysis.subject import OpenedSubject, subject_of
from fidelity_gate.compress.choosing import parse_recipe
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Artifact, ModelSpec
from fidelity_gate.storage.artifact import encode
from fidelity_gate.storage.quantized import dense_tensor
from tests.model_files import weights_of

OPSET = 18
IR_VERSION = 10


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def save_onnx(folder: Path, name, nodes, inputs, outputs, constants=(), **kw) -> Path:
    """Write a graph; `constants` is name -> numpy array. Keywords: opset, opsets (extra domains), metadata, checked."""
    tensors = [numpy_helper.from_array(np.asarray(array), key) for key, array in dict(constants).items()]
    graph = helper.make_graph(nodes, "step", list(inputs), list(outputs), initializer=tensors)
    opsets = [helper.make_opsetid("", kw.get("opset", OPSET)), *kw.get("opsets", ())]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="tests")
    helper.set_model_props(model, kw.get("metadata", {}))
    if kw.get("checked", True):
        onnx.checker.check_model(model, full_check=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def subject(path: Path, *, name="candidate", **kw) -> OpenedSubject:
    """Open a file as lint does; keywords: those of `subject_of`, and `options` for the model's own."""
    opened = open_model(ModelSpec(name, str(path), kw.pop("options", ())))
    return subject_of(name, opened, **kw)


def save_artifact(folder: Path, name, family, *, recipe="", edit=None, depth=None) -> Path:
    """Write an artifact of random weights; `edit` changes the arrays in place, a recipe then compresses them."""
    arrays = weights_of(family)
    if edit is not None:
        edit(arrays)
    roles = {key: role for key, (_, role) in family.tensors().items()}
    tensors = tuple(dense_tensor(key, roles[key], array) for key, array in sorted(arrays.items()))
    path = folder / f"{name}.safetensors"
    path.write_bytes(encode(Artifact(family.name, family.architecture(), depth, tensors)))
    if recipe:
        opened = open_model(ModelSpec("reference", str(path)))
        path.write_bytes(encode(parse_recipe(recipe).compress(opened, None)))
    return path
