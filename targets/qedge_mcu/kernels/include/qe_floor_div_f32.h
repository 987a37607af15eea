#ifndef QE_FLOOR_DIV_F32_H
#define QE_FLOOR_DIV_F32_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps; /* walk over the rows of (a, b), see qe_walk.h */
    int32_t row;          /* values in a row */
    uint8_t rank;
    uint8_t step_a, step_b; /* 0 where an operand repeats along the row, else 1 */
} qe_floor_div_params;

/* a / b rounded down, with broadcasting; the output may be an input of the same size. */
void qe_floor_div_f32(const qe_floor_div_params *p, const float *a, const float *b, float *output);

QE_EXTERN_C_END

#endif
