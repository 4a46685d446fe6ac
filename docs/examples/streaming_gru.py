"""Makes the example of docs/streaming.md: a small streaming detector, its step graph, compressions, and recordings.

    python docs/examples/streaming_gru.py FOLDER

The detector is given 128 samples of 8 kHz audio at a time and says whether a tone sounds, or sounded within the last
six chunks, so it has to remember. Its memory is the state of a GRU, which the host carries from step to step. The audio
is made here: noise, and in it tones of random pitch, length and loudness. Needs torch: pip install fidelity-gate[torch]

Written into FOLDER, which is made:

    gru.onnx        the step graph in float: chunk (1, 128), h (1, 1, 64) -> hn (1, 1, 64), prob (1, 1)
    gru.int8.onnx   its weights in INT8, by onnxruntime's dynamic quantization
    gru.int4.onnx   its weights in 4 bits, in blocks of 32, by onnxruntime's MatMulNBits quantizer
    gru.int2.onnx   the same in 2 bits
    eval.npz        frames (120, 48, 128) that it was not trained on, and active (120, 48): what is true of each chunk
    clips/          the same clips as .wav files
"""

from __future__ import annotations

import logging
import sys
import warnings
import wave
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.onnx_model import ONNXModel
from torch import nn

RATE, CHUNK, STEPS, WIDTH = 8_000, 128, 48, 64
HOLD = 6  # chunks for which a tone counts after its end
TRAINING, EVALUATION = (768, 0), (120, 1)  # clips, seed
EPOCHS, BATCH, LEARNING_RATE = 6, 32, 5e-3
BLOCK = 32  # values under one scale, of 4 and 2 bits


def recorded(clips: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return audio (clips, STEPS, CHUNK) in float32, and whether a tone counts in each chunk: (clips, STEPS)."""
    rng = np.random.default_rng(seed)
    shape = (clips, STEPS)
    starts, lengths = rng.random(shape) < 0.06, rng.integers(2, 8, shape)
    sounding = np.zeros(shape, bool)
    for later in range(8):
        sounding[:, later:] |= (starts & (lengths > later))[:, : STEPS - later]
    begins = sounding & ~np.pad(sounding, ((0, 0), (1, 0)))[:, :STEPS]
    tone_of = np.maximum.accumulate(np.where(begins, np.arange(STEPS), 0), axis=1)
    pitch = np.take_along_axis(rng.uniform(300, 3500, shape), tone_of, axis=1)
    amplitude = np.take_along_axis(10 ** rng.uniform(0.1, 0.7, shape), tone_of, axis=1) * sounding
    seconds = np.arange(STEPS * CHUNK).reshape(STEPS, CHUNK) / RATE
    tones = amplitude[..., None] * np.sin(2 * np.pi * pitch[..., None] * seconds)
    # Divided by its power, so that loudness alone tells nothing.
    audio = (rng.normal(size=(*shape, CHUNK)) + tones) / np.sqrt(1 + amplitude[..., None] ** 2 / 2)
    audio *= 10 ** rng.uniform(-2, -1, (clips, 1, 1))
    active = sounding.copy()
    for later in range(1, HOLD + 1):
        active[:, later:] |= sounding[:, :-later]
    return audio.astype(np.float32), active


class Detector(nn.Module):
    """The spectrum of a chunk, a GRU that remembers, and a decision; a call is one step."""

    def __init__(self) -> None:
        """Start with the spectrum's fixed matrix, and random weights behind it."""
        super().__init__()
        self.spectrum = nn.Linear(CHUNK, CHUNK, bias=False)
        self.spectrum.weight = nn.Parameter(fourier(), requires_grad=False)
        self.encode = nn.Linear(CHUNK // 2, WIDTH)
        nn.init.eye_(self.encode.weight)  # each unit begins as one frequency
        self.cell = nn.GRUCell(WIDTH, WIDTH)
        self.decide = nn.Linear(WIDTH, 1)

    def features(self, chunk: torch.Tensor) -> torch.Tensor:
        """Return the log power of each frequency against their mean: (..., CHUNK) -> (..., CHUNK / 2)."""
        real, imaginary = self.spectrum(chunk).chunk(2, dim=-1)
        powers = torch.log(real * real + imaginary * imaginary + 1e-6)
        return powers - powers.mean(dim=-1, keepdim=True)

    def forward(self, chunk: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Make one step: (1, CHUNK) and (1, 1, WIDTH) -> the next state and the probability that a tone counts."""
        after = self.cell(torch.relu(self.encode(self.features(chunk))), h[0])
        return after[None], torch.sigmoid(self.decide(after))


def fourier() -> torch.Tensor:
    """Return the rows of a windowed discrete Fourier transform, cosines and then sines: (CHUNK, CHUNK)."""
    angles = 2 * np.pi * np.outer(np.arange(1, CHUNK // 2 + 1), np.arange(CHUNK)) / CHUNK
    rows = np.concatenate((np.cos(angles), np.sin(angles))) * np.hanning(CHUNK) / 8
    return torch.tensor(rows, dtype=torch.float32)


def trained() -> Detector:
    """Return a detector that was trained on clips of their own seed, whole clips at a time."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, sequence = Detector(), nn.GRU(WIDTH, WIDTH, batch_first=True)
    audio, active = (torch.from_numpy(array) for array in recorded(*TRAINING))
    with torch.no_grad():
        features = model.features(audio)  # (clips, STEPS, CHUNK / 2)
    learned = [*model.encode.parameters(), *sequence.parameters(), *model.decide.parameters()]
    optimizer = torch.optim.Adam(learned)
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - epoch / EPOCHS)
        for rows in torch.randperm(len(audio)).split(BATCH):
            states, _ = sequence(torch.relu(model.encode(features[rows])))
            logits = model.decide(states)[..., 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, active[rows].float())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
    model.cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in sequence.state_dict().items()})
    return model.eval()


def export(model: Detector, path: Path) -> None:
    """Write the step graph into one file."""
    example = torch.zeros(1, CHUNK), torch.zeros(1, 1, WIDTH)
    names = {"input_names": ["chunk", "h"], "output_names": ["hn", "prob"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(model, example, dynamo=True, opset_version=18, verbose=False, **names)
    graph = program.model_proto
    for node in graph.graph.node:
        del node.metadata_props[:]  # in which file on this machine each operator was written
    onnx.save(graph, path)


def compress(graph: Path) -> None:
    """Write the compressed graphs beside the float one."""
    quantize_dynamic(_prepared(graph), graph.with_suffix(".int8.onnx"), weight_type=QuantType.QInt8)
    for bits in (4, 2):
        quantizer = MatMulNBitsQuantizer(_prepared(graph), block_size=BLOCK, is_symmetric=True, bits=bits)
        quantizer.process()
        onnx.save(quantizer.model.model, graph.with_suffix(f".int{bits}.onnx"))


def _prepared(graph: Path) -> onnx.ModelProto:
    """Return the graph with every Gemm as a MatMul and an Add: the quantizers leave out what they do not know."""
    model = onnx.load(graph)
    del model.graph.value_info[:]  # of the shapes before
    wrapped = ONNXModel(model)
    wrapped.replace_gemm_with_matmul()
    return wrapped.model


def right(graph: Path, audio: np.ndarray, active: np.ndarray) -> float:
    """Return the share of chunks that a graph decides rightly, stepped as a device would."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    hits = 0
    for clip, truths in zip(audio, active, strict=True):
        h = np.zeros((1, 1, WIDTH), np.float32)
        for chunk, truth in zip(clip, truths, strict=True):
            h, probability = session.run(["hn", "prob"], {"chunk": chunk[None], "h": h})
            hits += (probability[0, 0] > 0.5) == truth
    return hits / active.size


def save_clips(folder: Path, audio: np.ndarray) -> None:
    """Write clips (N, STEPS, CHUNK) as .wav files of 16 bits, one a clip."""
    folder.mkdir(exist_ok=True)
    for number, clip in enumerate(audio):
        with wave.open(str(folder / f"{number:03}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(np.round(clip.clip(-1, 1) * 32767).astype("<i2").tobytes())


def main(folder: Path) -> None:
    """Write everything, and tell how often each graph is right."""
    logging.disable(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / "gru.onnx"
    export(trained(), graph)
    compress(graph)
    audio, active = recorded(*EVALUATION)
    np.savez(folder / "eval.npz", frames=audio, active=active)
    save_clips(folder / "clips", audio)
    for path in (graph, *(graph.with_suffix(f".int{bits}.onnx") for bits in (8, 4, 2))):
        told = f"{path.stat().st_size:,} bytes, right for {right(path, audio, active):.1%} of the chunks"
        sys.stdout.write(f"{path.name}: {told}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {Path(sys.argv[0]).name} FOLDER")
    main(Path(sys.argv[1]))
