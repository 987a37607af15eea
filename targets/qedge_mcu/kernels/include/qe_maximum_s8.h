#ifndef QE_MAXIMUM_S8_H
#define QE_MAXIMUM_S8_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps; /* walk over the rows of (a, b), see qe_walk.h */
    int32_t row;          /* values in a row */
    uint8_t rank;
    uint8_t step_a, step_b; /* 0 where an operand repeats along the row, else 1 */
} qe_maximum_params;

/* The larger or the smaller of a and b, with broadcasting; the output may be an input of the same size. */
#ifdef QE_MAXIMUM
void qe_maximum_s8(const qe_maximum_params *p, const int8_t *a, const int8_t *b, int8_t *output);
#endif
#ifdef QE_MINIMUM
void qe_minimum_s8(const qe_maximum_params *p, const int8_t *a, const int8_t *b, int8_t *output);
#endif

QE_EXTERN_C_END

#endif
