"""Write tf_resize.json: what TensorFlow's tf.image.resize makes of one small image.

Run: python tests/golden/make_resize.py (needs TensorFlow; made with 2.21).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def main() -> None:
    """Resize to a smaller, a larger and a mixed size, by every method."""
    import tensorflow as tf

    image = np.random.default_rng(7).integers(0, 256, (9, 13, 1), np.uint8)
    found = {"made_with": f"TensorFlow {tf.__version__}", "image": image[:, :, 0].tolist()}
    for method in ("nearest", "bilinear", "bicubic", "area"):
        for antialias in (False, True):
            for height, width in ((4, 5), (12, 21), (5, 16), (9, 6)):
                resized = tf.image.resize(image, (height, width), method, antialias=antialias).numpy()
                key = f"{method}_{int(antialias)}_{height}_{width}"
                found[key] = resized[:, :, 0].round(3).tolist()
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in found.items())
    (Path(__file__).parent / "tf_resize.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
