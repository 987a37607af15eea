#ifndef QE_ARG_MAX_S8_H
#define QE_ARG_MAX_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t outer, count, inner;
} qe_arg_max_params;

/* input [outer][count][inner], output [outer][inner]: the index of the largest value, the first of equal ones. */
void qe_arg_max_s8(const qe_arg_max_params *p, const int8_t *input, int32_t *output);

/* The same for the smallest value. */
void qe_arg_min_s8(const qe_arg_max_params *p, const int8_t *input, int32_t *output);

QE_EXTERN_C_END

#endif
