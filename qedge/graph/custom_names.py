"""Which way leads out of a custom operator, by its name: compiled files, spectrograms, TensorFlow's own."""

from __future__ import annotations

LOG_MEL = (
    "leave the spectrogram out of the model and train on its values: qedge computes log-mel features of sound itself,"
    " on every target (--pre kind=log_mel)"
)
SPECTRA = frozenset(
    {"RFFT2D", "AudioSpectrogram", "Mfcc", "FlexRFFT", "FlexDecodeWav", "FlexAudioSpectrogram"}
)
_COMPILED = {
    "ethos-u": "Vela has compiled this file for an Ethos-U: pass the .tflite that Vela was given (its target"
    " compiles it again)",
    "edgetpu-custom-op": "this file is compiled for an Edge TPU: pass the .tflite that the compiler was given (its"
    " target compiles it again)",
}
_FLEX = "they are TensorFlow's own (SELECT_TF_OPS): replace them in the model, and convert it with TFLITE_BUILTINS only"
_DETECTION = (
    "give the float model: qedge ends it ahead of that and finds the objects itself, in C too; or end the model"
    " ahead of it"
)
_OTHER = "their kernels are not part of TFLite: replace them in the model, or end the model ahead of them"


def way_out(name: str) -> str:
    """Return the hint for a custom operator (or RFFT2D) that no kernel runs.

    >>> way_out("ethos-u").partition(":")[0]
    'Vela has compiled this file for an Ethos-U'
    """
    if name in SPECTRA or name.startswith("Signal"):  # Signal...: TFLite Micro's own audio front end
        return LOG_MEL
    if name == "TFLite_Detection_PostProcess":
        return _DETECTION
    if name.startswith("Flex"):
        return _FLEX
    return _COMPILED.get(name, _OTHER)
