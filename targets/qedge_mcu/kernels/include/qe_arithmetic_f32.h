#ifndef QE_ARITHMETIC_F32_H
#define QE_ARITHMETIC_F32_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps; /* walk over the rows of (a, b), see qe_walk.h */
    int32_t row;          /* values in a row */
    uint8_t rank;
    uint8_t step_a, step_b; /* 0 where an operand repeats along the row, else 1 */
    float low, high;        /* clamp of sums, differences, products and quotients */
    uint8_t what; /* 0: a + b, 1: a - b, 2: a * b, 3: a / b, 4: the larger, 5: the smaller, 6: (a - b)^2, 7: a / b down */
} qe_arithmetic_f32_params;

/* One operation a value, with broadcasting; the output may be an input of the same size. */
void qe_arithmetic_f32(const qe_arithmetic_f32_params *p, const float *a, const float *b, float *output);

QE_EXTERN_C_END

#endif
