#ifndef QE_L2_NORMALIZATION_S8_H
#define QE_L2_NORMALIZATION_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t rows, depth; /* depth at most 32768, so that a sum of squares fits */
    int8_t zero_point;   /* of the input */
} qe_l2_normalization_params;

/* Each row of input [rows][depth] divided by its length; the output has the scale 1/128 and the zero point 0. */
void qe_l2_normalization_s8(const qe_l2_normalization_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
