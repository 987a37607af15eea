#ifndef QE_CONV_2D_S16_H
#define QE_CONV_2D_S16_H

#include "qe_requantize_s64.h"

QE_EXTERN_C_BEGIN

/* Zero points of 16-bit tensors are 0. */
typedef struct {
    const int8_t *weights;     /* conv: [out_channels][filter_height][filter_width][in_channels / groups];
                                * depthwise: [filter_height][filter_width][out_channels] */
    const int64_t *bias;       /* [out_channels] */
    const int16_t *multiplier; /* [out_channels], see qe_requantize_s64.h */
    const uint8_t *shift;      /* as multiplier */
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width, out_channels;
    uint16_t groups;           /* conv: groups of channels; depthwise: outputs an input channel */
    uint16_t filter_height, filter_width;
    uint16_t stride_height, stride_width;
    uint16_t dilation_height, dilation_width;
    uint16_t pad_top, pad_left;
    int16_t low, high;         /* clamp of the output */
} qe_conv_2d_s16_params;

/* Return the first tap of an axis with origin + tap * dilation >= 0. */
static inline int32_t qe_first_tap(int32_t origin, int32_t dilation)
{
    return origin < 0 ? (dilation - 1 - origin) / dilation : 0;
}

/* Return one more than the last tap with origin + tap * dilation < size. */
static inline int32_t qe_end_tap(int32_t origin, int32_t dilation, int32_t size, int32_t filter)
{
    const int32_t end = (size - origin + dilation - 1) / dilation;
    return end < filter ? end : filter;
}

/* input [in_height][in_width][in_channels], output [out_height][out_width][out_channels]; batch 1. */
void qe_conv_2d_s16(const qe_conv_2d_s16_params *p, const int16_t *input, int16_t *output);
void qe_depthwise_conv_2d_s16(const qe_conv_2d_s16_params *p, const int16_t *input, int16_t *output);

/* Every output value gathers the inputs whose filter reaches it; weights as for conv, one group, no dilation. */
void qe_transpose_conv_s16(const qe_conv_2d_s16_params *p, const int16_t *input, int16_t *output);

QE_EXTERN_C_END

#endif
