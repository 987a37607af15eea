#ifndef QE_SOFTMAX_S16_H
#define QE_SOFTMAX_S16_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int16_t *exponential; /* [513]: exp from -10 to 0, in 0.15 fixed point */
    const int16_t *reciprocal;  /* [513]: 1 / (1 + x) from 0 to 1, in 0.15 fixed point */
    int32_t rows, depth;
    int32_t multiplier;
    int8_t shift;
} qe_softmax_s16_params;

/* input and output [rows][depth], int16, the output with scale 1/32768; they may be the same memory. */
void qe_softmax_s16(const qe_softmax_s16_params *p, const int16_t *input, int16_t *output);

QE_EXTERN_C_END

#endif
