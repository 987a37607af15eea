#ifndef QE_ARITHMETIC_S32_H
#define QE_ARITHMETIC_S32_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps; /* walk over the rows of (a, b), see qe_walk.h */
    int32_t row;          /* values in a row */
    uint8_t rank;
    uint8_t step_a, step_b; /* 0 where an operand repeats along the row, else 1 */
    uint8_t what;           /* 0: a + b, 1: a - b, 2: a * b, 3: the larger, 4: the smaller, 5: a / b down */
    uint8_t when;           /* of a comparison, as in qe_compare_s8.h */
} qe_arithmetic_s32_params;

/* Operators on plain integers, with broadcasting; the output may be an input of the same size. Sums wrap. */
void qe_arithmetic_s32(const qe_arithmetic_s32_params *p, const int32_t *a, const int32_t *b, int32_t *output);
void qe_compare_s32(const qe_arithmetic_s32_params *p, const int32_t *a, const int32_t *b, uint8_t *output);

QE_EXTERN_C_END

#endif
