#ifndef QE_FULLY_CONNECTED_S8_DSP_H
#define QE_FULLY_CONNECTED_S8_DSP_H

#include "qe_dot_dsp.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const void *weights; /* groups of qe_dot_4_dsp; the input's zero point is folded into the biases */
    int32_t multiplier;  /* of all channels; 0: each has its own in the stream */
    uint16_t rows;       /* batches */
    uint16_t inputs;     /* a multiple of 4 */
    uint16_t outputs;
    int8_t output_zero_point;
    int8_t low, high;    /* clamp of the output; used where QE_DSP_CLAMP is defined */
} qe_fully_connected_dsp_params;

/* input [rows][inputs], output [rows][outputs]. */
void qe_fully_connected_s8_dsp(const qe_fully_connected_dsp_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
