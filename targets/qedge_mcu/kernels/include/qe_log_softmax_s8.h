#ifndef QE_LOG_SOFTMAX_S8_H
#define QE_LOG_SOFTMAX_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t rows, depth;
    int32_t multiplier, reverse_multiplier; /* from differences of the input to Q5.26, and back */
    int32_t diff_min;
    int8_t shift;         /* to the left */
    int8_t reverse_shift; /* to the right */
} qe_log_softmax_params;

/* input and output [rows][depth], the output with scale 1/16 and zero point 127; they may be the same memory. */
void qe_log_softmax_s8(const qe_log_softmax_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
