#ifndef QE_DIV_S8_H
#define QE_DIV_S8_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps;      /* walk over the rows of (a, b), see qe_walk.h */
    int32_t row;               /* values in a row */
    uint8_t rank;
    uint8_t step_a, step_b;    /* 0 where an operand repeats along the row, else 1 */
    const int32_t *reciprocal; /* [256]: of b + 128, in 0.31 fixed point after its leading bit; 0 for the zero point */
    int32_t multiplier;
    int16_t offset_a, offset_b; /* minus the zero points */
    int8_t shift;
    int8_t output_zero_point;
    int8_t low, high;          /* clamp of the output */
} qe_div_params;

/* output = a / b, int8, with broadcasting; the output may be an input of the same size. A division by zero gives 0. */
void qe_div_s8(const qe_div_params *p, const int8_t *a, const int8_t *b, int8_t *output);

QE_EXTERN_C_END

#endif
