#ifndef QE_FULLY_CONNECTED_S16_B32_H
#define QE_FULLY_CONNECTED_S16_B32_H

#include "qe_requantize_s64.h"

QE_EXTERN_C_BEGIN

/* As qe_fully_connected_s16_params, with sums of 32 bits, which TFLite Micro has where the bias is int32. */
typedef struct {
    const int8_t *weights;     /* [outputs][inputs] */
    const int32_t *bias;       /* [outputs] */
    const int32_t *multiplier; /* [outputs], or [1] when step is 0; see qe_requantize */
    const int8_t *shift;       /* as multiplier */
    uint16_t rows;             /* batches */
    uint16_t inputs;
    uint16_t outputs;
    uint8_t step;              /* 1: a multiplier an output, 0: one for all */
    int16_t low, high;         /* clamp of the output */
} qe_fully_connected_s16_b32_params;

/* input [rows][inputs], output [rows][outputs]; zero points are 0. */
void qe_fully_connected_s16_b32(const qe_fully_connected_s16_b32_params *p, const int16_t *input, int16_t *output);

QE_EXTERN_C_END

#endif
