#ifndef QE_DEPTHWISE_CONV_2D_S8_MVE_H
#define QE_DEPTHWISE_CONV_2D_S8_MVE_H

#include "qe_mve.h"

QE_EXTERN_C_BEGIN

/* The stream has a record for every eight channels, those with even numbers before the odd ones:
 *   bias[4], bias[4]; the weights of the eight for each tap, in order; multiplier[4] and shift[4] in bytes, twice
 * Shifts are negative or 0, which is to the right; the input's zero point is folded into the biases.
 * QE_MVE_DEPTHWISE_3X3 says that some filter is 3x3. The assembler counts on the order of the members. */
typedef struct {
    const void *stream;
    uint16_t in_height, in_width;
    uint16_t out_height, out_width;
    uint16_t channels;         /* a multiple of 8 */
    uint8_t filter_height, filter_width;
    uint8_t stride_height, stride_width;
    uint8_t pad_top, pad_left;
    int8_t input_zero_point, output_zero_point;
    int8_t low, high;          /* clamp of the output; used where QE_MVE_CLAMP is defined */
} qe_depthwise_conv_2d_mve_params;

/* input [in_height][in_width][channels], output [out_height][out_width][channels]; batch 1; no dilation.
 * scratch: 8 * (3 * filter_height + 2) bytes. */
void qe_depthwise_conv_2d_s8_mve(const qe_depthwise_conv_2d_mve_params *p, const int8_t *input, int8_t *output,
                                 void *scratch);

QE_EXTERN_C_END

#endif
