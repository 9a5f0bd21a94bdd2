"""The exact models against numerical integration and dense linear algebra."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from syncsde3d.core import Denoiser, Step
from syncsde3d.models.closed_form import GaussianMixture, StationaryGaussian, power_law

STEPS = [Step(0, 1, torch.tensor(500), a, math.sqrt(1 - a * a), 999.0) for a in (0.06, 0.6, 0.99)]
STEPS += [Step(0, 1, torch.tensor(500), 0.3, 0.7, 999.0)]  # of a flow
NONE = torch.zeros(1, dtype=torch.long)


def gaussian(x, mean, variance):
    return math.exp(-0.5 * (x - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)


def scalar_mixture(**settings) -> GaussianMixture:
    """Three modes for each of two scalar patches."""
    mean = torch.tensor([[-1.5, 0.0], [0.5, 2.0], [1.0, -1.0]], dtype=torch.float64)
    variance = torch.tensor([[0.05, 0.3], [0.2, 0.1], [0.4, 0.5]], dtype=torch.float64)
    return GaussianMixture(mean, variance, torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64), **settings)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("patch", [0, 1])
def test_posterior_mean_of_a_mixture_by_numerical_integration(step, patch):
    model = scalar_mixture()
    mean, variance = model.mean[:, patch].tolist(), model.variance[:, patch].tolist()

    def joint(x0, y):
        prior = sum(w * gaussian(x0, m, v) for w, m, v in zip((0.2, 0.3, 0.5), mean, variance, strict=True))
        return prior * gaussian(y, step.a * x0, step.s**2)

    for y in (-2.0, -0.3, 0.0, 0.9, 2.5):
        options = {"limit": 400, "points": mean + [y / step.a] if abs(y / step.a) < 8 else mean}
        top = quad(lambda x, y=y: x * joint(x, y), -8, 8, **options)[0]
        bottom = quad(joint, -8, 8, args=(y,), **options)[0]
        ours = model.posterior_mean(torch.tensor([y], dtype=torch.float64), step, torch.tensor([patch]))
        assert float(ours) == pytest.approx(top / bottom, rel=1e-6, abs=1e-8)


def test_components_are_joint_over_a_patch():
    """The mode is one for the whole patch: integrated over a grid in two dimensions."""
    mean = torch.tensor([[[-1.0, -0.5]], [[1.0, 0.8]]], dtype=torch.float64)
    variance = torch.tensor([[[0.1, 0.3]], [[0.2, 0.1]]], dtype=torch.float64)
    model = GaussianMixture(mean, variance, torch.tensor([0.3, 0.7], dtype=torch.float64))
    step, y = STEPS[1], np.array([0.5, -0.4])
    axis = np.linspace(-5, 5, 801)
    x = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    prior = np.zeros(x.shape[:2])
    for k, w in enumerate((0.3, 0.7)):
        m, v = mean[k, 0].numpy(), variance[k, 0].numpy()
        prior += w * np.exp(-0.5 * ((x - m) ** 2 / v).sum(-1)) / np.sqrt(v.prod())
    weight = prior * np.exp(-0.5 * ((y - step.a * x) ** 2).sum(-1) / step.s**2)
    expected = (weight[..., None] * x).sum((0, 1)) / weight.sum()
    ours = model.posterior_mean(torch.from_numpy(y)[None], step, NONE)[0]
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-8)


@pytest.mark.parametrize("step", STEPS)
def test_one_component_is_a_gaussian(step):
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(1, 3, 2, 4, generator=generator).double()
    variance = torch.rand(1, 3, 2, 4, generator=generator).double() + 0.1
    model = GaussianMixture(mean, variance, torch.ones(1))
    y, patch = torch.randn(5, 2, 4, generator=generator).double(), torch.tensor([2, 0, 1, 1, 2])
    gain = step.a * variance[0, patch] / (step.a**2 * variance[0, patch] + step.s**2)
    expected = mean[0, patch] + gain * (y - step.a * mean[0, patch])
    torch.testing.assert_close(model.posterior_mean(y, step, patch), expected)


@pytest.mark.parametrize("step", STEPS)
def test_every_prediction_means_the_same_estimate(step):
    y, patch = torch.tensor([0.4, -1.3], dtype=torch.float64), torch.tensor([0, 1])
    x0 = scalar_mixture().posterior_mean(y, step, patch)
    eps = (y - step.a * x0) / step.s
    meaning = {"epsilon": eps, "sample": x0}
    if step is STEPS[3]:
        meaning["flow_prediction"] = eps - x0
    else:
        meaning["v_prediction"] = step.a * eps - step.s * x0
    for prediction, expected in meaning.items():
        model = scalar_mixture(prediction=prediction)
        assert isinstance(model, Denoiser)
        torch.testing.assert_close(model.predict(y, step, patch, patch), expected)


def full_spectrum(half, width):
    """All frequencies [h, w] of a real image's spectrum given the non-negative ones [h, w // 2 + 1]."""
    height = len(half)
    full = np.zeros((height, width))
    for i, j in itertools.product(range(height), range(width)):
        full[i, j] = half[i, j] if j <= width // 2 else half[-i % height, width - j]
    return full


def covariance(full):
    """Dense circulant covariance [h w, h w] by summing cosines."""
    height, width = full.shape
    place = np.array(list(itertools.product(range(height), range(width))))
    wave = place / np.array([height, width])
    phase = 2 * np.pi * (place[:, None] - place[None]) @ wave.T
    return (np.cos(phase) * full.ravel()).sum(-1) / (height * width)


@pytest.mark.parametrize("size", [(4, 4), (3, 5)])
@pytest.mark.parametrize("step", STEPS)
def test_posterior_mean_of_a_stationary_gaussian_by_dense_algebra(size, step):
    height, width = size
    spectrum = torch.stack([power_law(height, width, slope, 0.7) + 0.02 for slope in (1.0, 2.5)]).double()
    generator = torch.Generator().manual_seed(0)
    basis = torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64)  # a rotation, not its own transpose
    mean = torch.randn(3, 2, height, width, generator=generator).double()
    y, patch = torch.randn(2, 2, height, width, generator=generator).double(), torch.tensor([2, 0])
    model = StationaryGaussian(mean, spectrum, basis)
    blocks = [covariance(full_spectrum(half.numpy(), width)) for half in spectrum]
    n = height * width
    dense = np.zeros((2 * n, 2 * n))  # covariance of the colour channels: B^T diag(C_d) B
    for d, c, e in itertools.product(range(2), repeat=3):
        dense[c * n : (c + 1) * n, e * n : (e + 1) * n] += float(basis[d, c] * basis[d, e]) * blocks[d]
    for row in range(2):
        m = mean[patch[row]].numpy().ravel()
        residual = y[row].numpy().ravel() - step.a * m
        inverse = np.linalg.solve(step.a**2 * dense + step.s**2 * np.eye(2 * n), residual)
        ours = model.posterior_mean(y, step, patch)[row].numpy().ravel()
        np.testing.assert_allclose(ours, m + step.a * dense @ inverse, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", [(8, 8), (6, 9), (16, 5)])
@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_power_law_has_the_wanted_pixel_variance(size, slope):
    full = full_spectrum(power_law(*size, slope, deviation=0.3).double().numpy(), size[1])
    assert full.mean() == pytest.approx(0.09, rel=1e-5)  # exactly: the mean over all frequencies
    assert np.diag(covariance(full)) == pytest.approx(0.09, rel=1e-5)
    assert full[0, 0] == 0


def test_power_law_by_sampling():
    spectrum = power_law(16, 16, slope=2.0, deviation=0.3)
    white = torch.randn(4000, 16, 16, generator=torch.Generator().manual_seed(0))
    images = torch.fft.irfft2(torch.fft.rfft2(white, norm="ortho") * spectrum.sqrt(), (16, 16), norm="ortho")
    assert float(images.std()) == pytest.approx(0.3, rel=0.02)
    assert float(images.mean((1, 2)).abs().max()) < 1e-5  # no variance at frequency 0


def test_power_law_falls_with_its_slope():
    spectrum = power_law(32, 32, slope=2.0, deviation=1.0)
    assert float(spectrum[0, 2] / spectrum[0, 8]) == pytest.approx(16, rel=1e-5)
    assert float(spectrum[4, 0] / spectrum[0, 4]) == pytest.approx(1, rel=1e-5)
    white = power_law(32, 32, slope=0.0, deviation=1.0)
    assert float(white[3, 3] / white[1, 0]) == pytest.approx(1)
