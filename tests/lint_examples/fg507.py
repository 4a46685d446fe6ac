"""Examples of FG507: five answer tokens against seven."""

from dataclasses import replace

from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION

OTHER = replace(ATTENTION, vocab_size=7)


def _pair(folder, family):
    reference = subject(save_artifact(folder, "reference", ATTENTION), name="reference")
    return subject(save_artifact(folder, "candidate", family), reference=reference)


def failing(folder):
    return _pair(folder, OTHER)


def passing(folder):
    return _pair(folder, ATTENTION)
