"""How each metric that is followed over the steps is introduced."""

from __future__ import annotations

HEADLINE = "carry_fidelity"
# How each metric's panels are introduced; a metric without a line here is shown under its own name.
TITLES = {
    HEADLINE: "Carry fidelity over the steps",
    "device_step_fidelity": "Fidelity of single steps on a device",
    "device_fidelity_predicted": "Fidelity on a device, foretold",
    "device_answer_agreement": "Answers of a device the same as the reference's",
    "carry_range": "Carry range over the steps",
    "step_fidelity": "Fidelity of single steps",
    "carry_norm_ratio": "Carry norm over the steps",
    "answer_agreement": "Answers the same as the reference's, over the steps",
}
NOTES = {
    HEADLINE: (
        "Mean cosine between the candidate's carry and the reference's after every step, both running freely. Every "
        "line of the scale is ten times closer to the reference."
    ),
    "carry_range": "The largest value of the candidate's carry as a multiple: what a fixed-point format has to hold.",
    "step_fidelity": "What one step alone does, from the reference's own carry. Every line is ten times closer.",
    "device_step_fidelity": (
        "What one step alone does as the device computes it, from the reference's own carry, beside the same file on "
        "this machine. Every line is ten times closer."
    ),
    "device_fidelity_predicted": (
        "A prediction of how the device's free run keeps to the reference's, beside the free run on this machine."
    ),
    "device_answer_agreement": "What the device answers, beside the same file on this machine.",
    "carry_norm_ratio": "The norm of the candidate's carry over the reference's: 1 is the same; no cosine sees it.",
}
