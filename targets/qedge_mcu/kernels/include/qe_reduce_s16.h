#ifndef QE_REDUCE_S16_H
#define QE_REDUCE_S16_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

/* As in qe_reduce_s8.h. */
typedef struct {
    const int32_t *kept;
    const int32_t *reduced;
    int32_t row, row_step;
    uint8_t kept_rank, reduced_rank;
    int32_t start; /* minus the zero point of all values together */
    int32_t multiplier;
    int32_t output_zero_point;
    int8_t shift;
} qe_reduce_s16_params;

/* SUM, and MEAN with its division in the multiplier. */
void qe_reduce_sum_s16(const qe_reduce_s16_params *p, const int16_t *input, int16_t *output);

QE_EXTERN_C_END

#endif
