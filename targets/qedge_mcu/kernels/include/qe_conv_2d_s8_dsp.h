#ifndef QE_CONV_2D_S8_DSP_H
#define QE_CONV_2D_S8_DSP_H

#include "qe_dot_dsp.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const void *weights; /* stream of qe_dot_dsp.h; the input's zero point is folded into the biases */
    uint32_t depth;      /* inputs of a window, rounded up to a multiple of 4 */
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width, out_channels;
    uint8_t filter_height, filter_width;
    uint8_t stride_height, stride_width;
    uint8_t pad_top, pad_left;
    int8_t input_zero_point, output_zero_point;
    int8_t low, high;    /* clamp of the output; used where QE_DSP_CLAMP is defined */
} qe_conv_2d_dsp_params;

/* Rows of a window that are as long, and multiples of 4 bytes, are expanded one by one, others together. */
#define QE_CONV_2D_LONG_ROW 16

/* input [in_height][in_width][in_channels], output [out_height][out_width][out_channels]; batch 1; no dilation,
 * one group. scratch: 4 * depth bytes of columns, then, which the 1x1 kernel does not need, two rows of a window, or,
 * where those are expanded together, two windows (2 * depth bytes). */
void qe_conv_2d_s8_dsp(const qe_conv_2d_dsp_params *p, const int8_t *input, int8_t *output, void *scratch);

/* The same for a 1x1 filter with stride 1. */
void qe_conv_2d_1x1_s8_dsp(const qe_conv_2d_dsp_params *p, const int8_t *input, int8_t *output, void *scratch);

QE_EXTERN_C_END

#endif
