"""Diffusion models that are known exactly: Gaussians and mixtures, on any Gaussian path.

For data with a known density the posterior mean E[x0 | x_t] has a closed form, so these denoisers are the
truth that samplers are measured against, and they need no weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from syncsde3d.core.path import from_x0
from syncsde3d.core.protocols import Prediction, Step


@dataclass(frozen=True)
class GaussianMixture:
    """Data drawn from ``sum_k w_k N(mean_k, diag(variance_k))``, one mixture per patch.

    mean, variance: [k, n, ...] for ``k`` components and ``n`` patches; variance > 0.
    weights: [k], summing to 1. With one component this is a diagonal Gaussian.
    """

    mean: Tensor
    variance: Tensor
    weights: Tensor
    prediction: Prediction = "epsilon"
    guidance_scale: float = 1.0

    def posterior_mean(self, y: Tensor, step: Step, patch: Tensor) -> Tensor:
        """E[x0 | y] for rows ``y`` [b, ...] of the given patches [b]."""
        patch = patch.to(self.mean.device)
        mean, variance = self.mean[:, patch].to(y), self.variance[:, patch].to(y)
        total = step.a**2 * variance + step.s**2
        residual = y - step.a * mean
        each = mean + step.a * variance * residual / total
        log_density = -0.5 * (residual**2 / total + total.log()).reshape(*residual.shape[:2], -1).sum(-1)
        share = torch.softmax(log_density + self.weights.to(y).log()[:, None], dim=0)
        return (share.reshape(*share.shape, *[1] * (y.ndim - 1)) * each).sum(0)

    def predict(self, y: Tensor, step: Step, patch: Tensor, branch: Tensor) -> Tensor:
        """The exact output at ``y``; see :class:`~syncsde3d.core.Denoiser`."""
        return from_x0(self.posterior_mean(y, step, patch), y, step, self.prediction)


@dataclass(frozen=True)
class StationaryGaussian:
    """Images drawn from ``N(mean, C)`` with a stationary (circulant) covariance, diagonal under the FFT.

    mean: [n, c, h, w], one per patch. spectrum: variance of each frequency [c, h, w // 2 + 1] in the layout
    of ``rfft2(norm="ortho")``; its mean over all frequencies is the pixels' variance.
    basis: orthonormal [c, c]; channels are independent in the coordinates ``basis @ x``.
    """

    mean: Tensor
    spectrum: Tensor
    basis: Tensor
    prediction: Prediction = "epsilon"
    guidance_scale: float = 1.0

    def posterior_mean(self, y: Tensor, step: Step, patch: Tensor) -> Tensor:
        """E[x0 | y] for rows ``y`` [b, c, h, w] of the given patches [b]."""
        mean = self.mean[patch.to(self.mean.device)].to(y)
        spectrum, basis = self.spectrum.to(y), self.basis.to(y)
        residual = torch.einsum("dc,bchw->bdhw", basis, y - step.a * mean)
        gain = step.a * spectrum / (step.a**2 * spectrum + step.s**2)
        smooth = torch.fft.irfft2(torch.fft.rfft2(residual, norm="ortho") * gain, y.shape[-2:], norm="ortho")
        return mean + torch.einsum("dc,bdhw->bchw", basis, smooth)

    def predict(self, y: Tensor, step: Step, patch: Tensor, branch: Tensor) -> Tensor:
        """The exact output at ``y``; see :class:`~syncsde3d.core.Denoiser`."""
        return from_x0(self.posterior_mean(y, step, patch), y, step, self.prediction)


def power_law(height: int, width: int, slope: float, deviation: float) -> Tensor:
    """Spectrum ``f^-slope`` [height, width // 2 + 1] of an image whose pixels deviate by ``deviation``.

    slope: 0 is white; natural images lie near 2. The zero frequency carries no variance.
    """
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (rows**2 + columns**2).sqrt()
    power = torch.where(frequency > 0, frequency.clamp(min=1e-9) ** -slope, 0.0)
    twice = torch.full((width // 2 + 1,), 2.0)
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    return power * (deviation**2 * height * width / (power * twice).sum())
