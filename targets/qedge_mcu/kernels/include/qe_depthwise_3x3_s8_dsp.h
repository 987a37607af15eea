#ifndef QE_DEPTHWISE_3X3_S8_DSP_H
#define QE_DEPTHWISE_3X3_S8_DSP_H

#include "qe_dsp.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int8_t *weights;          /* [3][3][channels] */
    const uint32_t *requantize;     /* [channels][2]: bias << 5 | (shift to the right - 1), multiplier; the input's
                                     * zero point is folded into the biases */
    uint16_t in_height, in_width;
    uint16_t out_height, out_width;
    uint16_t channels;              /* a multiple of 4 */
    uint8_t stride;                 /* 1 or 2, of rows and columns */
    uint8_t pad_top, pad_left;
    int8_t input_zero_point, output_zero_point;
    int8_t low, high;               /* clamp of the output; used where QE_DSP_CLAMP is defined */
} qe_depthwise_3x3_dsp_params;

/* input [in_height][in_width][channels], output [out_height][out_width][channels]; batch 1. A row of windows is
 * columns = stride * (out_width - 1) + 3 wide; scratch: 32 * columns + 144 bytes. Output and input may start at the
 * same address when the output is no wider and no higher than the input. */
void qe_depthwise_3x3_s8_dsp(const qe_depthwise_3x3_dsp_params *p, const int8_t *input, int8_t *output,
                             void *scratch);

QE_EXTERN_C_END

#endif
