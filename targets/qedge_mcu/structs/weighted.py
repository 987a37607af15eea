"""Parameters of the kernels that multiply with weights: convolutions, fully connected, recurrent."""

from qedge_mcu.structs.fields import SHIFT, fields, pointers, struct

_CHANNELS = (
    *pointers("int8_t", "weights"),
    *pointers("int32_t", "bias"),
    *pointers("int32_t", "multiplier", 0),
    *pointers("int8_t", "shift", *SHIFT),
)
_CLAMP = fields("int8_t", "output_zero_point low high")
_OFFSET = fields("int16_t", "input_offset", -127, 128)
_IN_OUT = fields("uint16_t", "in_height in_width in_channels out_height out_width out_channels", 1)
_PLANES = fields("uint16_t", "in_height in_width out_height out_width", 1)
_FILTER = fields("uint8_t", "filter_height filter_width stride_height stride_width", 1)
_PADDING = fields("uint8_t", "pad_top pad_left")
_ANY_WINDOW = (
    *fields("uint16_t", "filter_height filter_width stride_height stride_width", 1),
    *fields("uint16_t", "dilation_height dilation_width", 1),
    *fields("uint16_t", "pad_top pad_left"),
)
_FOLDED = fields("int8_t", "input_zero_point output_zero_point low high")

STRUCTS = (
    struct(
        "qe_conv_2d_params",
        _CHANNELS,
        _IN_OUT,
        fields("uint16_t", "groups", 1),
        _ANY_WINDOW,
        _OFFSET,
        _CLAMP,
    ),
    struct(
        "qe_conv_2d_pairs_params",
        _CHANNELS,
        _IN_OUT,
        _FILTER,
        _PADDING,
        _FOLDED,
    ),
    struct(
        "qe_conv_2d_dsp_params",
        pointers("void", "weights"),
        fields("uint32_t", "depth", 4),
        _IN_OUT,
        _FILTER,
        _PADDING,
        _FOLDED,
    ),
    struct(
        "qe_conv_2d_mve_params",
        pointers("void", "stream"),
        fields("uint16_t", "part"),
        fields("uint16_t", "outputs in_height in_width in_channels out_height out_width", 1),
        _FILTER,
        _PADDING,
        _FOLDED,
    ),
    struct(
        "qe_matrix_params",
        pointers("void", "stream"),
        fields("uint32_t", "rows", 1, (1 << 31) - 1),
        fields("uint16_t", "depth", 1),
        fields("uint16_t", "part"),
        fields("uint16_t", "outputs", 1),
        _CLAMP,
    ),
    struct(
        "qe_depthwise_conv_2d_params",
        _CHANNELS,
        fields("uint16_t", "in_height in_width in_channels out_height out_width depth_multiplier", 1),
        _ANY_WINDOW,
        _OFFSET,
        _CLAMP,
    ),
    struct(
        "qe_depthwise_3x3_dsp_params",
        pointers("int8_t", "weights"),
        pointers("uint32_t", "requantize"),
        _PLANES,
        fields("uint16_t", "channels", 4),
        fields("uint8_t", "stride", 1, 2),
        _PADDING,
        _FOLDED,
    ),
    struct(
        "qe_depthwise_conv_2d_dsp_params",
        pointers("int8_t", "weights"),
        pointers("uint32_t", "requantize"),
        _PLANES,
        fields("uint16_t", "channels", 4),
        _FILTER,
        _PADDING,
        _FOLDED,
    ),
    struct(
        "qe_depthwise_conv_2d_mve_params",
        pointers("void", "stream"),
        _PLANES,
        fields("uint16_t", "channels", 8),
        _FILTER,
        _PADDING,
        _FOLDED,
    ),
    struct(
        "qe_transpose_conv_params",
        _CHANNELS,
        _IN_OUT,
        fields("uint16_t", "filter_height filter_width stride_height stride_width", 1),
        fields("uint16_t", "pad_top pad_left"),
        _OFFSET,
        _CLAMP,
    ),
    struct(
        "qe_fully_connected_params",
        _CHANNELS,
        fields("uint16_t", "rows inputs outputs", 1),
        fields("uint8_t", "step", 0, 1),
        _CLAMP,
    ),
    struct(
        "qe_fully_connected_dsp_params",
        pointers("void", "weights"),
        fields("int32_t", "multiplier", 0),
        fields("uint16_t", "rows inputs outputs", 1),
        _CLAMP,
    ),
    struct(
        "qe_batch_matmul_params",
        pointers("int32_t", "steps"),
        fields("int32_t", "multiplier", 0),
        fields("uint16_t", "rows columns depth", 1),
        fields("uint16_t", "a_row a_step b_column b_step"),
        fields("int16_t", "offset_a offset_b", -127, 128),
        fields("uint8_t", "rank", 1, 6),
        fields("int8_t", "shift", *SHIFT),
        fields("int8_t", "output_zero_point"),
    ),
    struct(
        "qe_unidirectional_sequence_lstm_params",
        pointers("int8_t", "weights"),
        pointers("int32_t", "bias"),
        pointers("int32_t", "multiplier", 0),
        pointers("uint16_t", "sigmoid"),
        pointers("int8_t", "shift", *SHIFT),
        fields("int32_t", "forget_multiplier update_multiplier output_multiplier", 0),
        fields("int8_t", "forget_shift update_shift output_shift", *SHIFT),
        fields("int8_t", "cell_shift"),
        fields("int16_t", "cell_clip"),
        fields("uint8_t", "clips", 0, 1),
        fields("uint16_t", "times batches inputs units", 1),
        fields("uint16_t", "time_step batch_step"),
        fields("int8_t", "hidden_zero_point"),
    ),
    struct(
        "qe_svdf_params",
        pointers("int8_t", "features"),
        pointers("void", "times"),
        pointers("int32_t", "bias"),
        fields("int32_t", "feature_multiplier output_multiplier", 0),
        fields("int32_t", "state_zero_point", -32768, 32767),
        fields("uint16_t", "batches inputs filters rank memory", 1),
        fields("int16_t", "input_zero_point", -128, 127),
        fields("int8_t", "feature_shift output_shift", *SHIFT),
        fields("int8_t", "output_zero_point"),
        fields("uint8_t", "wide", 0, 1),
    ),
)
