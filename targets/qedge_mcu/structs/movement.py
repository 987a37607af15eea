"""Parameters of the kernels that only move bytes."""

from qedge_mcu.structs.fields import fields, pointers, struct

STRUCTS = (
    struct(
        "qe_copy_params",
        pointers("int32_t", "steps"),
        fields("int32_t", "in_start out_start", 0),
        fields("int32_t", "run", 1),
        fields("uint8_t", "rank", 1, 6),
    ),
    struct(
        "qe_parts_params",
        pointers("int32_t", "bytes", 0),
        fields("int32_t", "outer", 0),
        fields("uint16_t", "parts", 1),
    ),
    struct(
        "qe_resize_nearest_neighbor_params",
        pointers("int16_t", "rows columns", 0),
        fields("uint16_t", "in_width out_height out_width pixel", 1),
    ),
)
