"""Parameters of the kernels with int16 activations."""

from qedge_mcu.structs.fields import SHIFT, fields, pointers, struct

_CHANNELS = (
    *pointers("int8_t", "weights"),
    *pointers("int64_t", "bias", -(1 << 46), 1 << 46),
    *pointers("int16_t", "multiplier", 0),
    *pointers("uint8_t", "shift", 8, 46),
)
_CHANNELS_B32 = (
    *pointers("int8_t", "weights"),
    *pointers("int32_t", "bias"),
    *pointers("int32_t", "multiplier", 0),
    *pointers("int8_t", "shift", *SHIFT),
)
_CLAMP = fields("int16_t", "low high")
_WINDOW = (
    *fields("uint16_t", "in_height in_width in_channels out_height out_width out_channels groups", 1),
    *fields("uint16_t", "filter_height filter_width stride_height stride_width", 1),
    *fields("uint16_t", "dilation_height dilation_width", 1),
    *fields("uint16_t", "pad_top pad_left"),
    *_CLAMP,
)
_ROWS = (*fields("uint16_t", "rows inputs outputs", 1), *fields("uint8_t", "step", 0, 1), *_CLAMP)

STRUCTS = (
    struct("qe_conv_2d_s16_params", _CHANNELS, _WINDOW),
    struct("qe_conv_2d_s16_b32_params", _CHANNELS_B32, _WINDOW),
    struct("qe_fully_connected_s16_params", _CHANNELS, _ROWS),
    struct("qe_fully_connected_s16_b32_params", _CHANNELS_B32, _ROWS),
    struct(
        "qe_pool_2d_s16_params",
        fields("uint16_t", "in_height in_width channels out_height out_width filter_height filter_width", 1),
        fields("uint16_t", "stride_height stride_width", 1),
        fields("uint16_t", "pad_top pad_left"),
        _CLAMP,
    ),
    struct(
        "qe_arithmetic_s16_params",
        pointers("int32_t", "steps"),
        fields("int32_t", "row", 1),
        fields("uint8_t", "rank", 1, 6),
        fields("uint8_t", "step_a step_b", 0, 1),
        fields("int32_t", "multiplier_a multiplier_b out_multiplier", 0),
        fields("int32_t", "offset_a offset_b output_zero_point low high", -32768, 32768),
        fields("int8_t", "shift_a shift_b out_shift", *SHIFT),
    ),
    struct(
        "qe_requantize_params",
        fields("int32_t", "count", 0),
        fields("int32_t", "multiplier negative_multiplier", 0),
        fields("int32_t", "input_zero_point output_zero_point low high"),
        fields("int8_t", "shift negative_shift", *SHIFT),
        fields("uint8_t", "minus", 0, 1),
        fields("uint8_t", "in_bytes out_bytes", 1, 4),
    ),
    struct(
        "qe_sigmoid_s16_params",
        pointers("uint16_t", "table"),
        fields("int32_t", "count", 0),
        fields("int32_t", "multiplier", 0, 32767),
        fields("uint8_t", "shift", 0, 30),
    ),
    struct(
        "qe_softmax_s16_params",
        pointers("int16_t", "exponential reciprocal"),
        fields("int32_t", "rows depth", 1),
        fields("int32_t", "multiplier", 0),
        fields("int8_t", "shift", *SHIFT),
    ),
    struct(
        "qe_reduce_s16_params",
        pointers("int32_t", "kept reduced"),
        fields("int32_t", "row", 1),
        fields("int32_t", "row_step", 0),
        fields("uint8_t", "kept_rank reduced_rank", 1, 6),
        fields("int32_t", "start"),
        fields("int32_t", "multiplier", 0),
        fields("int32_t", "output_zero_point", -32768, 32767),
        fields("int8_t", "shift", -31, 30),
    ),
)
