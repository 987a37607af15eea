#ifndef QE_MUL_SAME_S8_H
#define QE_MUL_SAME_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t multiplier;
    int8_t zero_a, zero_b; /* zero points */
    int8_t shift;          /* to the right, 1 to 22 */
    int8_t output_zero_point;
    uint32_t count;
} qe_mul_same_params;

/* output = a * b, int8, of two tensors of the same shape; the output may be either. codes: QE_BYTES of the members of
 * one byte, in their order. */
void qe_mul_same_s8(int32_t multiplier, uint32_t codes, uint32_t count, const int8_t *a, const int8_t *b,
                    int8_t *output);

QE_EXTERN_C_END

#endif
