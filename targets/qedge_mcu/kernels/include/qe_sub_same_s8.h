#ifndef QE_SUB_SAME_S8_H
#define QE_SUB_SAME_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

/* "large" is the input with the larger scale, which is brought to the common scale by a shift alone. */
typedef struct {
    int32_t small_multiplier;
    int32_t output_multiplier;
    int8_t large_zero, small_zero;    /* the inputs' zero points */
    int8_t small_shift, output_shift; /* to the right, at least 1 */
    int8_t output_zero_point;
    int8_t small_bits; /* by which the small input grows before the high multiply: 21, or 22 when both scales are equal */
    int8_t reversed;   /* 1: small - large */
    uint32_t count;
} qe_sub_same_params;

/* output = large - small, or the reverse, int8, of two tensors of the same shape; the output may be either. inputs and
 * outputs: QE_BYTES of the members of one byte, in their order. */
void qe_sub_same_s8(int32_t small_multiplier, int32_t output_multiplier, uint32_t inputs, uint32_t outputs,
                    uint32_t count, const int8_t *large, const int8_t *small, int8_t *output);

QE_EXTERN_C_END

#endif
