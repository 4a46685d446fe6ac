"""Room: lint rules. One rule, one file; the table's keys are their codes, which are never used again.

FG1xx not really compressed, FG2xx scales, FG3xx carry path, FG4xx target fit, FG5xx drift from the reference,
FG6xx hygiene.
"""

_HERE = "fidelity_gate.analysis.rules"

TABLE = {
    "FG401": f"{_HERE}.fg401_dynamic_quantization:DynamicQuantization",
    "FG402": f"{_HERE}.fg402_dynamic_shapes:DynamicShapes",
    "FG403": f"{_HERE}.fg403_below_tile_size:BelowTileSize",
    "FG404": f"{_HERE}.fg404_int8_below_crossover:Int8BelowCrossover",
    "FG405": f"{_HERE}.fg405_unsupported_operator:UnsupportedOperator",
    "FG406": f"{_HERE}.fg406_unsupported_opset:UnsupportedOpset",
    "FG407": f"{_HERE}.fg407_embedding_beyond_sram:EmbeddingBeyondSram",
    "FG501": f"{_HERE}.fg501_depth_differs:DepthDiffers",
    "FG502": f"{_HERE}.fg502_shorter_sequence:ShorterSequence",
    "FG503": f"{_HERE}.fg503_attention_replaced:AttentionReplaced",
    "FG504": f"{_HERE}.fg504_fewer_layers_or_heads:FewerLayers",
    "FG505": f"{_HERE}.fg505_pruned_structures:Pruned",
    "FG506": f"{_HERE}.fg506_quantized_head_or_embedding:QuantizedHead",
    "FG507": f"{_HERE}.fg507_vocabulary_differs:Vocabulary",
    "FG508": f"{_HERE}.fg508_unrolled_recursion:Unrolled",
}
