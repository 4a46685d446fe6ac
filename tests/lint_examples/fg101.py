"""Examples of FG101: a file that is said to be compressed, and holds float32."""

from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION
from tests.weights_made import integers, save_encoded, some


def _claimed(folder, recipe, *claims):
    return subject(save_artifact(folder, "candidate", ATTENTION, recipe=recipe), claims=claims)


def failing(folder):
    return _claimed(folder, "", "sudoku-w8a8")


def failing_quantized_without_a_width(folder):
    return _claimed(folder, "fp16", "quantized")


def failing_half_that_is_float32(folder):
    return _claimed(folder, "", "trm-fp16")


def failing_eight_bits_for_four(folder):
    return _claimed(folder, "int8", "nf4")


def failing_recipe_of_the_file(folder):
    """The header names a recipe that nothing was done by."""
    path = save_encoded(folder, "candidate", ATTENTION, some(integers(8), "nowhere"), recipe="int8,heads=float32")
    return subject(path)


def passing(folder):
    return _claimed(folder, "int8", "sudoku-w8a8")


def passing_without_a_claim(folder):
    return _claimed(folder, "", "trm-sudoku", "pruned 25 %")


def passing_half(folder):
    return _claimed(folder, "fp16", "trm-fp16")


def passing_claim_of_other_parts(folder):
    return _claimed(folder, "bf16,embeddings=int8", "embeddings-int8")
