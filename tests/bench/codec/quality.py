"""How far a picture is from the original: all in decibels, more is better."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

from .planes import Samples

# Mean squared errors below this count as this: nobody sees them, and an exact picture must not weigh infinitely much.
LEAST_ERROR = 0.01
# Parts of pixels below this count as this.
LEAST_PART = 1e-6
_RADIUS = 5


def mse(picture: Samples, original: Samples) -> float:
    difference = picture.astype(np.float32) - original.astype(np.float32)
    return float(np.mean(difference * difference, dtype=np.float64))


def psnr(picture: Samples, original: Samples, peak: float) -> float:
    return float(10 * np.log10(peak * peak / max(mse(picture, original), LEAST_ERROR)))


def peak(original: Samples) -> float:
    """255 for 8 bits; the range that the samples use for 16."""
    return 255.0 if original.itemsize == 1 else float(max(int(original.max()) - int(original.min()), 1))


class Similarity:
    """-10 log10(1 - SSIM) of 8-bit pictures to one original; colour as luma (BT.601).

    11 x 11 Gaussian of sigma 1.5, K1 = 0.01, K2 = 0.03, without the border that the window does not fill. (Wang, Bovik,
    Sheikh, Simoncelli: Image quality assessment, IEEE TIP 13(4), 2004)
    """

    def __init__(self, original: Samples) -> None:
        self._luma = _luma(original)
        self._mean = _blur(self._luma)
        self._variance = _blur(self._luma * self._luma) - self._mean * self._mean

    def of(self, picture: Samples) -> float:
        x, mean_y = _luma(picture), self._mean
        mean_x = _blur(x)
        variance_x = _blur(x * x) - mean_x * mean_x
        both = _blur(x * self._luma) - mean_x * mean_y
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        similarity = (2 * mean_x * mean_y + c1) * (2 * both + c2)
        similarity /= (mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + self._variance + c2)
        inner = similarity[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
        return float(-10 * np.log10(max(1 - inner.mean(dtype=np.float64), LEAST_PART)))


def within_display_step(picture: Samples, original: Samples, window: tuple[float, float]) -> float:
    """-10 log10 of the part of the pixels that a screen of 256 greys would show off by more than one grey.

    `window` is the contrast range that black to white shows. 30 dB: 99.9 % are within one step.
    """
    step = max(window[1] - window[0], 1.0) / 255
    shown, expected = (np.clip(p.astype(np.float32), *window) for p in (picture, original))
    outside = np.mean(np.abs(shown - expected) > step * 1.0001)
    return float(-10 * np.log10(max(outside, LEAST_PART)))


def _luma(picture: Samples) -> NDArray[np.float32]:
    if picture.ndim == 2:
        return picture.astype(np.float32)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    luma: NDArray[np.float32] = picture.astype(np.float32) @ weights
    return luma


def _blur(plane: NDArray[np.float32]) -> NDArray[Any]:
    blurred: NDArray[Any] = gaussian_filter(plane, 1.5, radius=_RADIUS)
    return blurred
