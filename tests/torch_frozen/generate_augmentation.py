"""Ask PyTorch and SciPy to warp a few images and to smooth noise, and freeze the numbers in augmentation.json.

Run `python tests/torch_frozen/generate_augmentation.py` where PyTorch and SciPy are installed.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("augmentation.json")
SHAPES = ((3, 1, 6, 6), (2, 2, 5, 8), (2, 1, 9, 4))
NOISE, SMOOTHNESS = (15, 17), 1.1


def inputs():
    """[(images, forward matrices, shifts)] and noise; strong warps, no blank rim, the same numbers every time."""
    rng = np.random.default_rng(2003)
    warps = [(rng.normal(size=shape), np.eye(2) + rng.uniform(-0.5, 0.5, (shape[0], 2, 2)),
              rng.uniform(-2, 2, (shape[0], 2))) for shape in SHAPES]
    return warps, rng.normal(size=NOISE)


def by_torch(images, forward, shifts):
    """The warp by affine_grid and grid_sample in float64.

    PyTorch's points are (x, y), to the right and down, and with align_corners=True they run from -1 at the
    centre of the first pixel to 1 at that of the last: half a picture, (length - 1) / 2 pixels, is one unit.
    """
    import torch
    from torch.nn import functional as F

    inverse = np.linalg.inv(forward)
    away = -(inverse @ shifts[..., None])[..., 0]
    down, right = ((length - 1) / 2 for length in images.shape[2:])
    theta = np.stack([
        np.stack([inverse[:, 1, 1], inverse[:, 1, 0] * down / right, away[:, 1] / right], axis=1),
        np.stack([inverse[:, 0, 1] * right / down, inverse[:, 0, 0], away[:, 0] / down], axis=1)], axis=1)
    grid = F.affine_grid(torch.tensor(theta), images.shape, align_corners=True)
    return F.grid_sample(torch.tensor(images), grid, mode="bilinear", padding_mode="zeros", align_corners=True).numpy()


def by_scipy(images, forward, shifts):
    """The warp by ndimage.affine_transform, order 1, outside of the image zeros to interpolate with."""
    from scipy import ndimage

    warped = np.empty_like(images)
    centre = (np.array(images.shape[2:]) - 1) / 2
    for n, channel in np.ndindex(images.shape[:2]):
        inverse = np.linalg.inv(forward[n])
        warped[n, channel] = ndimage.affine_transform(
            images[n, channel], inverse, centre - inverse @ (centre + shifts[n]), order=1, mode="grid-constant")
    return warped


def smoothed_by_scipy(noise, smoothness):
    """gaussian_filter with zeros around: its weights add up to one."""
    from scipy import ndimage

    return ndimage.gaussian_filter(noise, smoothness, mode="constant", truncate=12.0)


def main():
    """Write augmentation.json."""
    import scipy
    import torch

    warps, noise = inputs()
    frozen = {"torch": torch.__version__.split("+")[0], "scipy": scipy.__version__,
              "warps": [{"images": images.tolist(), "forward": forward.tolist(), "shifts": shifts.tolist(),
                         "by_torch": by_torch(images, forward, shifts).tolist(),
                         "by_scipy": by_scipy(images, forward, shifts).tolist()} for images, forward, shifts in warps],
              "noise": noise.tolist(), "smoothed": smoothed_by_scipy(noise, SMOOTHNESS).tolist()}
    FROZEN.write_text(json.dumps(frozen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
