#ifndef QE_ADD_BROADCAST_S8_H
#define QE_ADD_BROADCAST_S8_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps; /* walk over the rows of (a, b), see qe_walk.h */
    int32_t row;          /* values in a row */
    uint8_t rank;
    uint8_t step_a, step_b; /* 0 where an operand repeats along the row, else 1 */
    int32_t multiplier_a, multiplier_b, out_multiplier;
    int16_t offset_a, offset_b; /* minus the zero points */
    int8_t shift_a, shift_b, out_shift;
    int8_t output_zero_point;
    int8_t low, high; /* clamp of the output */
} qe_add_broadcast_params;

/* output = a + b, int8, with broadcasting; the output may be an input of the same size. */
void qe_add_broadcast_s8(const qe_add_broadcast_params *p, const int8_t *a, const int8_t *b, int8_t *output);

QE_EXTERN_C_END

#endif
