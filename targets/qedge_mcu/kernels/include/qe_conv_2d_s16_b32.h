#ifndef QE_CONV_2D_S16_B32_H
#define QE_CONV_2D_S16_B32_H

#include "qe_conv_2d_s16.h"

QE_EXTERN_C_BEGIN

/* As qe_conv_2d_s16_params, with sums of 32 bits, which TFLite Micro has where the bias is int32. */
typedef struct {
    const int8_t *weights;     /* [out_channels][filter_height][filter_width][in_channels / groups] */
    const int32_t *bias;       /* [out_channels] */
    const int32_t *multiplier; /* [out_channels], see qe_requantize */
    const int8_t *shift;       /* as multiplier */
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width, out_channels;
    uint16_t groups;
    uint16_t filter_height, filter_width;
    uint16_t stride_height, stride_width;
    uint16_t dilation_height, dilation_width;
    uint16_t pad_top, pad_left;
    int16_t low, high;         /* clamp of the output */
} qe_conv_2d_s16_b32_params;

/* input [in_height][in_width][in_channels], output [out_height][out_width][out_channels]; batch 1. */
void qe_conv_2d_s16_b32(const qe_conv_2d_s16_b32_params *p, const int16_t *input, int16_t *output);

QE_EXTERN_C_END

#endif
