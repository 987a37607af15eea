"""The example that reads a sensor and says a class: what it does in between depends on the model's pre-processing."""

from __future__ import annotations

from qedge.graph import Tensor
from qedge.processing.affine import INPUTS_KEY, steps_in
from qedge_mcu.program import Program
from qedge_mcu.structs import C_TYPES

_HEAD = """\
/* From one reading of the sensor to the class that @name@ hears or sees in it. @what@ */
#ifndef @NAME@_CLASSIFY_H
#define @NAME@_CLASSIFY_H

#include "@name@_app.h"
@include@
#ifdef @NAME@_EXTERNAL_INPUT
#error "this example writes its input inside the context: compile it without @NAME@_EXTERNAL_INPUT"
#endif

/* Yours: fill values with @reading@. */
static void read_sensor(@type@ *values);

/* Return the place of the best class, or a negative status; *score is its real value. */
static int32_t classify(@name@_context *context, float *score)
{
@fill@
    const int status = @name@_run(context);
    return status != @NAME@_OK ? status : @name@_top(context, score);
}

#endif
"""
_SOUND = """\
    static @name@_frontend stream;
    static int16_t pcm[@NAME@_FRONTEND_HOP];
    static int started;
    int complete = 0;
    if (!started) {
        started = 1;
        @name@_frontend_init(&stream);
    }
    while (!complete) {
        size_t taken = 0;
        read_sensor(pcm);
        while (taken < @NAME@_FRONTEND_HOP) {
            int frame = 0;
            taken += @name@_frontend_push(&stream, pcm + taken, @NAME@_FRONTEND_HOP - taken, &frame);
            complete |= frame;
        }
    }
    memcpy(@name@_input(context), stream.features, sizeof stream.features);"""
_PICTURE = """\
    static uint8_t pixels[@NAME@_INPUT_ELEMENTS];
    read_sensor(pixels);
    @name@_set_image_u8(context, pixels);"""
_STEP = """\
    static float values[@NAME@_INPUT_ELEMENTS];
    read_sensor(values);
    @name@_write_input(context, values);"""
_NUMBERS = """\
    static float values[@NAME@_INPUT_ELEMENTS];
    read_sensor(values);
    for (int32_t i = 0; i < @NAME@_INPUT_ELEMENTS; ++i) {
        @name@_input(context)[i] = @name@_quantize_input(values[i]);
    }"""
_PLAIN = """\
    read_sensor(@name@_input(context));"""


def classify_header(program: Program, app: str, *, sound: bool) -> tuple[str, str, str] | None:
    """Return ``classify.h``, the C type of a reading and how many make one; None where the model has no such answer.

    Args:
        app: the text of ``<model>_app.h``.
        sound: whether the library has the front end for sound.
    """
    name, graph = program.name, program.graph
    if len(graph.inputs) != 1 or f"{name}_top(" not in app:
        return None
    tensor = graph.tensors[graph.inputs[0]]
    upper, count = name.upper(), f"{name.upper()}_INPUT_ELEMENTS"
    include, fill, ctype, reading, what = "", _PLAIN, C_TYPES[tensor.dtype], f"{count} values", ""
    if sound:
        include, fill, ctype = f'#include "{name}_frontend.h"\n', _SOUND, "int16_t"
        count = f"{upper}_FRONTEND_HOP"
        reading = f"the next {upper}_FRONTEND_HOP samples of sound, at {upper}_FRONTEND_SAMPLE_RATE Hz"
    elif f"{name}_set_image_u8(" in app:
        fill, ctype, reading = _PICTURE, "uint8_t", "a picture, as @name@_set_image_u8 takes it"
    elif 0 in steps_in(graph.metadata.get(INPUTS_KEY, b"")):
        fill, ctype, reading = _STEP, "float", f"{count} numbers in the units that the model was trained with"
    elif f"{name}_quantize_input(" in app:
        fill, ctype, reading = _NUMBERS, "float", f"{count} numbers as the model takes them"
        what = _features(tensor)
    text = _HEAD
    for key, value in (
        ("include", include),
        ("fill", fill),
        ("what", what),
        ("reading", reading),
        ("type", ctype),
    ):
        text = text.replace(f"@{key}@", value)
    return text.replace("@name@", name).replace("@NAME@", upper), ctype, count


def _features(tensor: Tensor) -> str:
    shape = "x".join(str(d) for d in tensor.shape)
    return f"\n * Its input is {shape}: features are made of the raw readings first, as in training."
