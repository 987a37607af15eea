#ifndef QE_DEPTHWISE_CONV_2D_S8_DSP_H
#define QE_DEPTHWISE_CONV_2D_S8_DSP_H

#include "qe_dsp.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int8_t *weights;      /* [filter_height][filter_width][channels] */
    const uint32_t *requantize; /* [channels][2]: bias << 5 | (shift to the right - 1), multiplier */
    uint16_t in_height, in_width;
    uint16_t out_height, out_width;
    uint16_t channels;          /* a multiple of 4 */
    uint8_t filter_height, filter_width;
    uint8_t stride_height, stride_width;
    uint8_t pad_top, pad_left;
    int8_t input_zero_point, output_zero_point;
    int8_t low, high;           /* clamp of the output; used where QE_DSP_CLAMP is defined */
} qe_depthwise_conv_2d_dsp_params;

/* input [in_height][in_width][channels], output [out_height][out_width][channels]; batch 1; no dilation. */
void qe_depthwise_conv_2d_s8_dsp(const qe_depthwise_conv_2d_dsp_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
