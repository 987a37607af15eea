"""The same network from ONNX and from Keras, with the same weights: three targets each, and how close int8 comes.

Takes a module with ``make(name) -> (module, shape)`` and ``export(name, path)``, as ``benchmarks/frontends.py zoo``
does; PyTorch and TensorFlow needed. Prints the SQNR of both, what verification says (for the mcu: its emulated code),
and the share of operators that the Edge TPU prediction maps::

    python benchmarks/frontend_twins.py torch_zoo.py
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import qedge

Array = npt.NDArray[Any]
SAMPLES = 64
ZOO = Path(__file__).parents[2] / "shared" / "prototypes" / "torch_zoo.py"


def values(tensor: Any) -> Array:
    """Return a weight as NumPy has it."""
    return np.asarray(tensor.detach().numpy())


def layer(module: Any) -> tuple[Any, list[Array]]:
    """Return the Keras layer of a PyTorch module, and its weights."""
    from keras import layers

    kind = type(module).__name__
    held_bias = getattr(module, "bias", None)
    bias = [values(held_bias)] if hasattr(held_bias, "detach") else []
    if kind == "Conv2d" and module.groups > 1:
        made = layers.DepthwiseConv2D(module.kernel_size, module.stride, padding="valid", use_bias=bool(bias))
        return made, [values(module.weight).transpose(2, 3, 0, 1), *bias]
    if kind == "Conv2d":
        made = layers.Conv2D(
            module.out_channels, module.kernel_size, module.stride, padding="valid", use_bias=bool(bias)
        )
        return made, [values(module.weight).transpose(2, 3, 1, 0), *bias]
    if kind == "ConvTranspose2d":
        made = layers.Conv2DTranspose(module.out_channels, module.kernel_size, module.stride)
        return made, [values(module.weight).transpose(2, 3, 1, 0), *bias]
    if kind == "Linear":
        return layers.Dense(module.out_features), [values(module.weight).T, *bias]
    if kind.startswith("BatchNorm"):
        held = (module.weight, module.bias, module.running_mean, module.running_var)
        return layers.BatchNormalization(epsilon=module.eps), [values(v) for v in held]
    if kind == "LSTM":
        bias = [values(module.bias_ih_l0) + values(module.bias_hh_l0)]
        weights = [values(module.weight_ih_l0).T, values(module.weight_hh_l0).T]
        return layers.LSTM(module.hidden_size), [
            *weights,
            *bias,
        ]  # both order gates input, forget, cell, output
    plain: dict[str, Callable[[], Any]] = {
        "ReLU": layers.ReLU,
        "ReLU6": lambda: layers.ReLU(6.0),
        "MaxPool2d": lambda: layers.MaxPooling2D(module.kernel_size),
        "AdaptiveAvgPool2d": layers.GlobalAveragePooling2D,
    }
    return plain[kind](), []


class Twin:
    """Applies the layers of PyTorch modules to a Keras tensor, and keeps their weights."""

    def __init__(self) -> None:
        self._held: list[tuple[Any, list[Array]]] = []

    def apply(self, x: Any, *modules: Any) -> Any:
        """Return the value behind some modules; what pads by itself in PyTorch is padded."""
        from keras import layers

        for module in modules:
            if type(module).__name__ in ("Flatten", "Dropout"):
                continue
            if type(module).__name__ == "Sequential":
                x = self.apply(x, *module)
                continue
            if type(module).__name__ == "Conv2d" and any(module.padding):
                same = module.stride == (1, 1) and all(
                    2 * p + 1 == k for p, k in zip(module.padding, module.kernel_size)
                )
                made, weights = layer(module)
                if same:
                    made.padding = "same"
                else:
                    x = layers.ZeroPadding2D(module.padding)(x)
            else:
                made, weights = layer(module)
            x = made(x)
            self._held.append((made, weights))
        return x

    def model(self, inputs: Any, outputs: Any) -> Any:
        """Return the Keras model with the weights in it."""
        import keras

        for made, weights in self._held:
            made.set_weights(weights)
        return keras.Model(inputs, outputs)


def twin_of(name: str, module: Any, shape: Sequence[int]) -> Any:
    """Return a network of the zoo in Keras, channels last."""
    from keras import layers

    channels_last = (*shape[2:], shape[1]) if len(shape) == 4 else tuple(shape[1:])
    x, twin = layers.Input(channels_last), Twin()
    if name in ("dscnn", "autoencoder"):
        y = twin.apply(x, module.n)
        return twin.model(x, layers.Softmax()(y) if name == "dscnn" else y)
    if name == "lstm":
        return twin.model(x, twin.apply(x, module.r, module.f))
    join = layers.Concatenate
    a = twin.apply(x, module.e1)
    b = twin.apply(a, module.p, module.e2)
    c = twin.apply(b, module.p, module.e3)
    b = twin.apply(join()([twin.apply(c, module.u2), b]), module.d2)
    return twin.model(x, twin.apply(join()([twin.apply(b, module.u1), a]), module.d1, module.o))


def row(name: str, what: str, model: Any, data: Array, out: Path) -> float:
    """Build for three targets, verify each and print a row; return the SQNR."""
    done = qedge.build(model, data, targets=["rpi", "coral", "mcu"], out=out / what, name=name)
    told = []
    for target, place in done.bundles.items():
        verified = qedge.verify(place, samples=8)
        how = "bit-exact" if verified.bit_exact else "verified" if verified.passed else "DIFFERS"
        told.append(f"{target} {how}")
    share = done.report.targets["coral"].metrics["mapped_percent"]
    sqnr = float(done.report.quantization["sqnr_db"])
    print(f"{name:12} {what:6} {sqnr:6.2f} dB  Edge TPU {share:.0f} %  {'; '.join(told)}", flush=True)
    return sqnr


def main() -> None:
    """Print two rows a network and how far their SQNR are apart."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("zoo", type=Path, nargs="?", default=ZOO)
    parser.add_argument("names", nargs="*", default=["dscnn", "unet_deconv", "lstm", "autoencoder"])
    given = parser.parse_args()
    if not given.zoo.is_file() or importlib.util.find_spec("torch") is None:
        print(f"needs PyTorch and a module of networks ({given.zoo}): nothing measured")
        return
    spec = importlib.util.spec_from_file_location("zoo", given.zoo)
    assert spec is not None
    assert spec.loader is not None
    zoo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zoo)
    for name in given.names:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            zoo.export(name, str(place / name))
            module, shape = zoo.make(name)
            twin = twin_of(name, module, shape)
            data = np.random.default_rng(0).standard_normal((SAMPLES, *shape[1:])).astype(np.float32)
            turned = data.transpose(0, 2, 3, 1) if data.ndim == 4 else data
            theirs = np.asarray(zoo.torch.no_grad()(module)(zoo.torch.from_numpy(data[:4])))
            ours = np.asarray(twin(turned[:4], training=False))
            back = ours.transpose(0, 3, 1, 2) if ours.ndim == 4 else ours
            apart = float(np.abs(back - theirs).max() / np.abs(theirs).max())
            from_onnx = row(name, "onnx", place / f"{name}.onnx", data, place)
            from_keras = row(name, "keras", twin, turned, place)
            print(
                f"{name:12} twins differ by {apart:.1e}, SQNR by {from_onnx - from_keras:+.2f} dB", flush=True
            )


if __name__ == "__main__":
    main()
