#ifndef QE_CONV_2D_PAIRS_S8_H
#define QE_CONV_2D_PAIRS_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

/* Weights: for every four outputs, for every two inputs of the window (an odd one filled up with 0): both weights of
 * each output. No two neighbouring weights are both -128. Shifts are negative or 0, which is to the right; the
 * input's zero point is folded into the biases. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias;       /* [out_channels] */
    const int32_t *multiplier; /* [out_channels] */
    const int8_t *shift;       /* [out_channels] */
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width, out_channels; /* outputs by fours */
    uint8_t filter_height, filter_width;
    uint8_t stride_height, stride_width;
    uint8_t pad_top, pad_left;
    int8_t input_zero_point, output_zero_point;
    int8_t low, high; /* clamp of the output */
} qe_conv_2d_pairs_params;

/* input [in_height][in_width][in_channels], output [out_height][out_width][out_channels]; batch 1; no dilation, one
 * group. scratch: a word for every input of the window, filled up to an even number. */
void qe_conv_2d_pairs_s8(const qe_conv_2d_pairs_params *p, const int8_t *input, int8_t *output, void *scratch);

QE_EXTERN_C_END

#endif
