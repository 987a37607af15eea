#ifndef QE_BATCH_MATMUL_S8_H
#define QE_BATCH_MATMUL_S8_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps; /* walk over the batches of (a, b), see qe_walk.h */
    int32_t multiplier;
    uint16_t rows, columns, depth;
    uint16_t a_row, a_step;    /* from one row to the next, from one term to the next */
    uint16_t b_column, b_step; /* from one column to the next, from one term to the next */
    int16_t offset_a, offset_b; /* minus the zero points */
    uint8_t rank;
    int8_t shift;
    int8_t output_zero_point;
} qe_batch_matmul_params;

/* output [batch][rows][columns] = a times b. */
void qe_batch_matmul_s8(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b, int8_t *output);

QE_EXTERN_C_END

#endif
