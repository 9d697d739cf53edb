"""The words of fl_info (kernels/firstlight.h) that tests fill in by hand."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_LAYERS = 24
MAX_GROUPS = 5
PARTS_AT = 19 + MAX_GROUPS
LEVELS_AT = PARTS_AT + MAX_GROUPS
ERRORS_AT = 7 + MAX_GROUPS
MSE_AT = ERRORS_AT + MAX_LAYERS + 1
MEASURED_AT = MSE_AT + MAX_LAYERS + 1
LEVEL_WORDS = MEASURED_AT + MAX_LAYERS + 1
MEASURED_LEVELS = 3
NOT_MEASURED = 0xFFFFFFFF


def words_of(info: bytes) -> NDArray[np.uint32]:
    """A copy that may be written to."""
    return np.frombuffer(info, np.uint32).copy()


def tables(words: NDArray[np.uint32], level: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The level's errors, and the codes of its mean squared errors: views of MAX_LAYERS + 1 words each."""
    at = words[LEVELS_AT + level * LEVEL_WORDS :][:LEVEL_WORDS]
    return at[ERRORS_AT:MSE_AT], at[MSE_AT:MEASURED_AT]


def measured(words: NDArray[np.uint32], level: int) -> NDArray[Any]:
    """The level's measured errors: a view of MAX_LAYERS + 1 words, NOT_MEASURED where there is none."""
    return words[LEVELS_AT + level * LEVEL_WORDS :][MEASURED_AT:LEVEL_WORDS]
