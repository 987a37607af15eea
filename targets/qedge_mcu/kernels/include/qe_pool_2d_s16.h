#ifndef QE_POOL_2D_S16_H
#define QE_POOL_2D_S16_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    uint16_t in_height, in_width, channels;
    uint16_t out_height, out_width;
    uint16_t filter_height, filter_width;
    uint16_t stride_height, stride_width;
    uint16_t pad_top, pad_left;
    int16_t low, high; /* clamp of the output */
} qe_pool_2d_s16_params;

/* input [in_height][in_width][channels], output [out_height][out_width][channels]; only pixels inside count. */
void qe_average_pool_2d_s16(const qe_pool_2d_s16_params *p, const int16_t *input, int16_t *output);
void qe_max_pool_2d_s16(const qe_pool_2d_s16_params *p, const int16_t *input, int16_t *output);

QE_EXTERN_C_END

#endif
