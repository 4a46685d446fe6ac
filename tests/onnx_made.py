"""ONNX files as exporters and quantizers leave them: a two-stream step of 3 KB, exported once a session."""

import contextlib
import logging
import os
import warnings

import numpy as np
import onnx

TOKENS, WIDTH, WORDS, INNER = 6, 16, 5, 3
INPUTS = ("z_H", "z_L", "inputs")
OUTPUTS = ("z_H_out", "z_L_out", "logits", "q_halt")


def two_stream_module():
    """Return a tiny H-cycle: one block that mixes tokens and width, shared by all updates, heads and an embedding."""
    import torch

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = torch.nn.Linear(TOKENS, TOKENS, bias=False)
            self.up = torch.nn.Linear(WIDTH, 2 * WIDTH, bias=False)
            self.down = torch.nn.Linear(2 * WIDTH, WIDTH, bias=False)

        def forward(self, x):
            x = x + self.mix(x.transpose(1, 2)).transpose(1, 2)
            x = x + self.down(torch.nn.functional.silu(self.up(x)))
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)

    class Step(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block, self.embed = Block(), torch.nn.Embedding(WORDS, WIDTH)
            self.head, self.q = torch.nn.Linear(WIDTH, WORDS, bias=False), torch.nn.Linear(WIDTH, 2)

        def forward(self, z_h, z_l, inputs):
            given = self.embed(inputs)
            for _ in range(INNER):
                z_l = self.block(z_l + z_h + given)
            z_h = self.block(z_h + z_l)
            return z_h, z_l, self.head(z_h), self.q(z_h[:, 0])

    torch.manual_seed(0)
    return Step().eval()


def export(path, *, dynamo):
    """Write the step with torch's newer or older exporter."""
    import torch

    state = torch.zeros(1, TOKENS, WIDTH)
    example = (state, state + 1, torch.zeros(1, TOKENS, dtype=torch.int64))
    names = {"input_names": list(INPUTS), "output_names": list(OUTPUTS)}
    with quiet():
        if dynamo:
            torch.onnx.export(
                two_stream_module(), example, str(path), dynamo=True, external_data=False, verbose=False, **names
            )
        else:
            torch.onnx.export(two_stream_module(), example, str(path), dynamo=False, opset_version=17, **names)
    return path


def quantize(source, target, recipe):
    """Write a file as onnxruntime's quantizers leave it."""
    with quiet():
        RECIPES[recipe](str(source), str(target))
    return target


def prepare(source, target):
    """Fold what exporters leave, and drop the shapes that quantizers would contradict."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with quiet():
        quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
    model = onnx.load(target)
    del model.graph.value_info[:], model.metadata_props[:]
    onnx.save(model, target)
    return target


def _dynamic(source, target, **kw):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8, **kw)


def _static(source, target, **kw):
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    settings = {"quant_format": QuantFormat.QDQ, "weight_type": QuantType.QInt8, "per_channel": True} | kw
    if settings.pop("four", False):
        settings["weight_type"] = QuantType.QInt4
    if settings.pop("operators", False):
        settings["quant_format"] = QuantFormat.QOperator
    quantize_static(source, target, _Calibration(), **settings)


def _blocks(source, target, *, symmetric):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=16, is_symmetric=symmetric)
    quantizer.process()
    quantizer.model.save_model_to_file(target)


RECIPES = {
    "dynamic": _dynamic,
    "dynamic-channel": lambda source, target: _dynamic(source, target, per_channel=True),
    "static": lambda source, target: _static(source, target, op_types_to_quantize=["MatMul", "Gemm"]),
    "static-int4": lambda source, target: _static(source, target, op_types_to_quantize=["MatMul", "Gemm"], four=True),
    "operators": lambda source, target: _static(source, target, operators=True, per_channel=False),
    "blocks": lambda source, target: _blocks(source, target, symmetric=False),
    "blocks-symmetric": lambda source, target: _blocks(source, target, symmetric=True),
}


class _Calibration:
    def __init__(self):
        self.seeds = iter(range(3))

    def get_next(self):
        seed = next(self.seeds, None)
        if seed is None:
            return None
        draws = np.random.default_rng(seed)
        states = {name: draws.standard_normal((1, TOKENS, WIDTH)).astype(np.float32) for name in INPUTS[:2]}
        return states | {"inputs": draws.integers(0, WORDS, (1, TOKENS))}

    def __iter__(self):
        return iter(self.get_next, None)


@contextlib.contextmanager
def quiet():
    """Keep exporters and quantizers from warning and printing."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):  # noqa: PTH123
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
