#ifndef QE_RESIZE_NEAREST_NEIGHBOR_H
#define QE_RESIZE_NEAREST_NEIGHBOR_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int16_t *rows;    /* [out_height]: the input row of each output row */
    const int16_t *columns; /* [out_width] */
    uint16_t in_width, out_height, out_width;
    uint16_t pixel; /* bytes of all channels */
} qe_resize_nearest_neighbor_params;

/* input [..][in_width][pixel], output [out_height][out_width][pixel], in bytes; batch 1. */
void qe_resize_nearest_neighbor(const qe_resize_nearest_neighbor_params *p, const void *input, void *output);

QE_EXTERN_C_END

#endif
