#ifndef QE_MATRIX_S8_MVE_H
#define QE_MATRIX_S8_MVE_H

#include "qe_mve.h"

QE_EXTERN_C_BEGIN

/* Weights and requantisation of a layer that is a matrix product: FULLY_CONNECTED, or CONV_2D by columns. */
typedef struct {
    const int8_t *weights;     /* [outputs][depth] */
    const int32_t *bias;       /* [outputs]; the input's zero point is folded in */
    const int32_t *multiplier; /* [outputs] */
    const int8_t *shift;       /* [outputs], positive to the left */
    uint32_t rows;             /* pixels or batches */
    uint16_t depth;
    uint16_t outputs;
    int8_t output_zero_point;
    int8_t low, high;          /* clamp of the output */
} qe_matrix_params;

/* input [rows][depth], output [rows][outputs]. A row of output is written after its row of input was read. */
void qe_matrix_s8_mve(const qe_matrix_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
