#ifndef QE_DEPTHWISE_CONV_2D_S8_MVE_H
#define QE_DEPTHWISE_CONV_2D_S8_MVE_H

#include "qe_mve.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int8_t *weights;     /* [filter_height][filter_width][channels] */
    const int32_t *bias;       /* [channels] */
    const int32_t *multiplier; /* [channels] */
    const int8_t *shift;       /* [channels], positive to the left */
    uint16_t in_height, in_width;
    uint16_t out_height, out_width;
    uint16_t channels;         /* a multiple of 8 */
    uint8_t filter_height, filter_width;
    uint8_t stride_height, stride_width;
    uint8_t pad_top, pad_left;
    int8_t input_zero_point, output_zero_point;
    int8_t low, high;          /* clamp of the output */
} qe_depthwise_conv_2d_mve_params;

/* input [in_height][in_width][channels], output [out_height][out_width][channels]; batch 1; no dilation. */
void qe_depthwise_conv_2d_s8_mve(const qe_depthwise_conv_2d_mve_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
