#ifndef QE_FULLY_CONNECTED_S8_H
#define QE_FULLY_CONNECTED_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int8_t *weights;     /* in the order of qe_dot_s8.h; int4: [outputs][(inputs + 1) / 2] */
    const int32_t *bias;       /* [outputs]; the input's zero point is folded in */
    const int32_t *multiplier; /* [outputs], or [1] when step is 0 */
    const int8_t *shift;       /* as multiplier */
    uint16_t rows;             /* batches */
    uint16_t inputs;
    uint16_t outputs;
    uint8_t step;              /* 1: a multiplier an output, 0: one for all */
    int8_t output_zero_point;
    int8_t low, high;          /* clamp of the output */
} qe_fully_connected_params;

/* input [rows][inputs], output [rows][outputs]. */
void qe_fully_connected_s8(const qe_fully_connected_params *p, const int8_t *input, int8_t *output);

/* The same with int4 weights, two a byte, the even input in the low half; every row starts on a byte. */
void qe_fully_connected_s4(const qe_fully_connected_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
