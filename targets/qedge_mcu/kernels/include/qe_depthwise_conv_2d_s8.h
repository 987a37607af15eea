#ifndef QE_DEPTHWISE_CONV_2D_S8_H
#define QE_DEPTHWISE_CONV_2D_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int8_t *weights;     /* [filter_height][filter_width][in_channels * multiplier] */
    const int32_t *bias;       /* [in_channels * depth_multiplier] */
    const int32_t *multiplier; /* as bias */
    const int8_t *shift;       /* as bias */
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width;
    uint16_t depth_multiplier;
    uint16_t filter_height, filter_width;
    uint16_t stride_height, stride_width;
    uint16_t dilation_height, dilation_width;
    uint16_t pad_top, pad_left;
    int16_t input_offset; /* minus the input's zero point */
    int8_t output_zero_point;
    int8_t low, high; /* clamp of the output */
} qe_depthwise_conv_2d_params;

/* input [in_height][in_width][in_channels], output [out_height][out_width][in_channels * depth_multiplier]. */
void qe_depthwise_conv_2d_s8(const qe_depthwise_conv_2d_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
