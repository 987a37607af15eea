#ifndef QE_SIGMOID_S8_H
#define QE_SIGMOID_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

/* The argument of a power of two, 9 + x * log2(e) with 22 bits behind the point, x real: factor * code + start. */
typedef struct {
    int32_t factor;
    int32_t start;
    uint32_t count; /* values */
} qe_sigmoid_params;

/* output = 256 / (1 + exp(-x)) - 128, rounded: LOGISTIC, and TANH for twice its argument; the two may be the same
 * memory. */
void qe_sigmoid_s8(int32_t factor, int32_t start, uint32_t count, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
