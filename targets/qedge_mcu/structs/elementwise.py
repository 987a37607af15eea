"""Parameters of the kernels that work element by element, and of those that reduce or resize."""

from qedge_mcu.structs.fields import SHIFT, fields, pointers, struct

_WALK = (
    *pointers("int32_t", "steps"),
    *fields("int32_t", "row", 1),
    *fields("uint8_t", "rank", 1, 6),
    *fields("uint8_t", "step_a step_b", 0, 1),
)
_OFFSETS = fields("int16_t", "offset_a offset_b", -127, 128)
_CLAMP = fields("int8_t", "output_zero_point low high")
_SUM = (
    *_WALK,
    *fields("int32_t", "multiplier_a multiplier_b out_multiplier", 0),
    *_OFFSETS,
    *fields("int8_t", "shift_a shift_b out_shift", *SHIFT),
)
_COUNT = fields("uint32_t", "count", 1, (1 << 31) - 1)
_REDUCE = (
    *pointers("int32_t", "kept reduced"),
    *fields("int32_t", "row", 1),
    *fields("int32_t", "row_step", 0),
    *fields("uint8_t", "kept_rank reduced_rank", 1, 6),
)

STRUCTS = (
    struct("qe_add_broadcast_params", _SUM, _CLAMP),
    struct("qe_sub_params", _SUM, _CLAMP),
    struct("qe_squared_difference_params", _SUM, fields("int8_t", "output_zero_point")),
    struct(
        "qe_add_params",
        _COUNT,
        fields("int32_t", "small_factor small_multiplier output_multiplier", 0),
        fields("int16_t", "large_offset small_offset", -127, 128),
        fields("uint8_t", "small_shift output_shift", 1, 31),
        _CLAMP,
    ),
    struct(
        "qe_compare_params",
        _WALK,
        fields("int32_t", "multiplier_a multiplier_b", 0),
        _OFFSETS,
        fields("int8_t", "shift_a shift_b", *SHIFT),
        fields("uint8_t", "when", 1, 7),
    ),
    struct("qe_maximum_params", _WALK),
    struct(
        "qe_mul_params",
        _WALK,
        fields("int32_t", "multiplier", 0),
        _OFFSETS,
        fields("int8_t", "shift", *SHIFT),
        _CLAMP,
    ),
    struct(
        "qe_prelu_params",
        _WALK,
        fields("int32_t", "multiplier_positive multiplier_negative", 0),
        _OFFSETS,
        fields("int8_t", "shift_positive shift_negative", *SHIFT),
        fields("int8_t", "output_zero_point"),
    ),
    struct(
        "qe_mul_same_params",
        fields("int32_t", "multiplier", 0),
        fields("int8_t", "zero_a zero_b"),
        fields("int8_t", "shift", 1, 22),
        fields("int8_t", "output_zero_point"),
        _COUNT,
        by_value=True,
    ),
    struct(
        "qe_sub_same_params",
        fields("int32_t", "small_multiplier output_multiplier", 0),
        fields("int8_t", "large_zero small_zero"),
        fields("int8_t", "small_shift", 1, 31),
        fields("int8_t", "output_shift", 1, 20),
        fields("int8_t", "output_zero_point"),
        fields("int8_t", "small_bits", 21, 22),
        fields("int8_t", "reversed", 0, 1),
        _COUNT,
        by_value=True,
    ),
    struct("qe_sigmoid_params", fields("int32_t", "factor start"), _COUNT, by_value=True),
    struct("qe_lookup_params", pointers("int8_t", "table"), fields("int32_t", "count", 0)),
    struct(
        "qe_quantize_params",
        fields("float", "scale"),
        fields("int32_t", "count", 0),
        fields("int16_t", "zero_point"),
    ),
    struct(
        "qe_dequantize_params",
        fields("float", "scale"),
        fields("int32_t", "count", 0),
        fields("int16_t", "zero_point"),
    ),
    struct(
        "qe_softmax_params",
        fields("uint32_t", "rows depth", 1, (1 << 31) - 1),
        fields("int32_t", "multiplier", 0),
        fields("int32_t", "diff_min"),
        fields("uint8_t", "left_shift", 0, 30),
    ),
    struct(
        "qe_l2_normalization_params",
        fields("int32_t", "rows depth", 1),
        fields("int8_t", "zero_point"),
    ),
    struct(
        "qe_reduce_sum_params",
        _REDUCE,
        fields("int32_t", "start"),
        fields("int32_t", "multiplier", 0),
        fields("int8_t", "shift", -63, 30),
        fields("int8_t", "output_zero_point"),
    ),
    struct("qe_reduce_max_params", _REDUCE),
    struct("qe_arg_max_params", fields("int32_t", "outer count inner", 1)),
    struct(
        "qe_pool_2d_params",
        fields("uint16_t", "in_height in_width channels out_height out_width filter_height filter_width", 1),
        fields("uint16_t", "stride_height stride_width", 1),
        fields("uint16_t", "pad_top pad_left"),
        fields("int8_t", "low high"),
    ),
    struct(
        "qe_resize_bilinear_params",
        fields("int32_t", "scale_y scale_x start_y start_x"),
        fields("uint16_t", "in_height in_width out_height out_width channels", 1),
    ),
    struct(
        "qe_sums_params",
        fields("int32_t", "outer count inner", 0),
        fields("int32_t", "input_multiplier output_multiplier", 0),
        fields("int16_t", "input_offset", -127, 128),
        fields("int8_t", "input_shift output_shift", *SHIFT),
        fields("int8_t", "output_zero_point"),
        fields("uint8_t", "exclusive reverse", 0, 1),
    ),
    struct(
        "qe_div_params",
        _WALK,
        pointers("int32_t", "reciprocal", 0),
        fields("int32_t", "multiplier", 0),
        _OFFSETS,
        fields("int8_t", "shift", *SHIFT),
        _CLAMP,
    ),
    struct(
        "qe_arithmetic_s32_params", _WALK, fields("uint8_t", "what", 0, 5), fields("uint8_t", "when", 0, 7)
    ),
    struct("qe_arithmetic_f32_params", _WALK, fields("float", "low high"), fields("uint8_t", "what", 0, 7)),
    struct(
        "qe_log_softmax_params",
        fields("int32_t", "rows depth", 1),
        fields("int32_t", "multiplier reverse_multiplier", 0),
        fields("int32_t", "diff_min"),
        fields("int8_t", "shift", 0, 30),
        fields("int8_t", "reverse_shift", 0, 31),
    ),
)
