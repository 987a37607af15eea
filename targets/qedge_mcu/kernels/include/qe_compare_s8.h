#ifndef QE_COMPARE_S8_H
#define QE_COMPARE_S8_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps; /* walk over the rows of (a, b), see qe_walk.h */
    int32_t row;          /* values in a row */
    uint8_t rank;
    uint8_t step_a, step_b; /* 0 where an operand repeats along the row, else 1 */
    int32_t multiplier_a, multiplier_b;
    int16_t offset_a, offset_b; /* minus the zero points */
    int8_t shift_a, shift_b;
    uint8_t when; /* true when 1: a < b, 2: a == b, 4: a > b; or several of them */
} qe_compare_params;

/* output = a compared with b, 0 or 1, with broadcasting; the output may be an input of the same size. */
void qe_compare_s8(const qe_compare_params *p, const int8_t *a, const int8_t *b, uint8_t *output);

QE_EXTERN_C_END

#endif
