"""Parameters of the kernels that only move bytes."""

from qedge_mcu.structs.fields import Field, fields, pointers, struct

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
    struct(
        "qe_gather_params",
        fields("int32_t", "batches outer size", 1),
        fields("int32_t", "count bytes", 0),
    ),
    struct(
        "qe_gather_nd_params",
        pointers("int32_t", "sizes strides", 0),
        fields("int32_t", "count bytes", 0),
        fields("int32_t", "depth", 1),
    ),
    struct(
        "qe_space_to_batch_params",
        fields("int32_t", "batches in_height in_width out_height out_width block_height block_width", 1),
        fields("int32_t", "top left bytes", 0),
        fields("int32_t", "fill", 0, 255),
    ),
    struct(
        "qe_index_copy_params",
        pointers("int32_t", "offsets", 0),
        (Field("sizes", "int32_t", 1, count=4),),
        fields("int32_t", "run", 1),
    ),
    struct("qe_fill_params", pointers("int8_t", "values"), fields("int32_t", "bytes count", 0)),
    struct(
        "qe_select_params",
        pointers("int32_t", "steps others"),
        fields("int32_t", "bytes", 1, 8),
        fields("uint8_t", "rank others_rank", 1, 6),
    ),
    struct("qe_cast_params", fields("int32_t", "count", 0), fields("uint8_t", "from to", 1, 7)),
    struct(
        "qe_update_slice_params",
        pointers("int32_t", "steps"),
        pointers("int32_t", "room strides", 0),
        fields("int32_t", "bytes", 0),
        fields("int32_t", "run", 1),
        fields("uint8_t", "rank", 1, 6),
        fields("uint8_t", "dimensions", 0),
    ),
)
