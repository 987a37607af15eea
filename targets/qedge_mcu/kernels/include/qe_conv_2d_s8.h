#ifndef QE_CONV_2D_S8_H
#define QE_CONV_2D_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int8_t *weights;     /* by groups, in the order of qe_dot_s8.h; n is the filter's taps */
    const int32_t *bias;       /* [out_channels] */
    const int32_t *multiplier; /* [out_channels] */
    const int8_t *shift;       /* [out_channels] */
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width, out_channels;
    uint16_t groups;
    uint16_t filter_height, filter_width;
    uint16_t stride_height, stride_width;
    uint16_t dilation_height, dilation_width;
    uint16_t pad_top, pad_left;
    int16_t input_offset;      /* minus the input's zero point */
    int8_t output_zero_point;
    int8_t low, high;          /* clamp of the output */
} qe_conv_2d_params;

/* input [in_height][in_width][in_channels], output [out_height][out_width][out_channels]; batch 1. */
void qe_conv_2d_s8(const qe_conv_2d_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
