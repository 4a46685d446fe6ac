"""Room: lint rules. One rule, one file; the table's keys are their codes, which are never used again.

FG1xx not really compressed, FG2xx scales, FG3xx carry path, FG4xx target fit, FG5xx drift from the reference,
FG6xx hygiene.
"""

_HERE = "fidelity_gate.analysis.rules"

TABLE = {
    "FG101": f"{_HERE}.fg101_not_compressed:NotCompressed",
    "FG102": f"{_HERE}.fg102_float_matmul_share:FloatMatmulShare",
    "FG103": f"{_HERE}.fg103_larger_than_reference:LargerThanReference",
    "FG105": f"{_HERE}.fg105_duplicate_constants:DuplicateConstants",
    "FG201": f"{_HERE}.fg201_per_tensor_low_bits:PerTensorLowBits",
    "FG202": f"{_HERE}.fg202_per_tensor_token_mixing:PerTensorTokenMixing",
    "FG203": f"{_HERE}.fg203_outlier_stretches_scale:OutlierStretchesScale",
    "FG204": f"{_HERE}.fg204_bad_scale:BadScale",
    "FG205": f"{_HERE}.fg205_zero_point_out_of_range:ZeroPointOutOfRange",
    "FG206": f"{_HERE}.fg206_saturated_weights:SaturatedWeights",
    "FG207": f"{_HERE}.fg207_unused_range:UnusedRange",
    "FG208": f"{_HERE}.fg208_rows_shorter_than_a_block:RowsShorterThanABlock",
    "FG209": f"{_HERE}.fg209_lost_in_rounding:LostInRounding",
    "FG210": f"{_HERE}.fg210_coarse_rounding:CoarseRounding",
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
