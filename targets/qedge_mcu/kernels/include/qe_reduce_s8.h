#ifndef QE_REDUCE_S8_H
#define QE_REDUCE_S8_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

/* Walks have one array only: see qe_walk.h. */
typedef struct {
    const int32_t *kept;    /* over the values of the output */
    const int32_t *reduced; /* over the rows that go into one value */
    int32_t row, row_step;  /* the innermost loop */
    uint8_t kept_rank, reduced_rank;
    int32_t start; /* minus the zero point of all values together */
    int32_t multiplier;
    int8_t shift;
    int8_t output_zero_point;
} qe_reduce_sum_params;

typedef struct {
    const int32_t *kept;
    const int32_t *reduced;
    int32_t row, row_step;
    uint8_t kept_rank, reduced_rank;
} qe_reduce_max_params;

/* SUM, and MEAN with its division in the multiplier. */
void qe_reduce_sum_s8(const qe_reduce_sum_params *p, const int8_t *input, int8_t *output);

void qe_reduce_max_s8(const qe_reduce_max_params *p, const int8_t *input, int8_t *output);
void qe_reduce_min_s8(const qe_reduce_max_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
