"""The room of compression recipes. A recipe is one class and one line here."""

TABLE = {
    "bf16": "fidelity_gate.compress.cast:Bf16",
    "fp16": "fidelity_gate.compress.cast:Fp16",
    "int2": "fidelity_gate.compress.integer:Int2",
    "int3": "fidelity_gate.compress.integer:Int3",
    "int4-calibrated": "fidelity_gate.compress.integer:Int4Calibrated",
    "int4-naive": "fidelity_gate.compress.integer:Int4Naive",
    "int8": "fidelity_gate.compress.integer:Int8",
    "int8-bnb": "fidelity_gate.compress.bnb:Int8Bnb",
    "nf4-bnb": "fidelity_gate.compress.bnb:Nf4Bnb",
    "onnx-dynamic-int8": "fidelity_gate.compress.onnx_recipes:OnnxDynamicInt8",
    "onnx-fp16": "fidelity_gate.compress.onnx_recipes:OnnxFp16",
    "onnx-int4": "fidelity_gate.compress.onnx_recipes:OnnxInt4",
    "onnx-int8": "fidelity_gate.compress.onnx_recipes:OnnxInt8",
    "onnx-static-int8": "fidelity_gate.compress.onnx_recipes:OnnxStaticInt8",
}
