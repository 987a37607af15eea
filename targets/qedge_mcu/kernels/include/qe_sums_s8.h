#ifndef QE_SUMS_S8_H
#define QE_SUMS_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t outer, count, inner; /* CUMSUM: around the axis; ADD_N: count inputs of inner values, outer is 1 */
    int32_t input_multiplier, output_multiplier;
    int16_t input_offset;        /* minus the inputs' zero point */
    int8_t input_shift, output_shift;
    int8_t output_zero_point;
    uint8_t exclusive, reverse;  /* CUMSUM */
} qe_sums_params;

/* Running sums along an axis: input and output [outer][count][inner]. */
void qe_cumsum_s8(const qe_sums_params *p, const int8_t *input, int8_t *output);

/* The sum of several tensors of one scale. */
void qe_add_n_s8(const qe_sums_params *p, const void *const *inputs, int8_t *output);

QE_EXTERN_C_END

#endif
