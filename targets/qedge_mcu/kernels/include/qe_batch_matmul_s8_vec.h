#ifndef QE_BATCH_MATMUL_S8_VEC_H
#define QE_BATCH_MATMUL_S8_VEC_H

#include "qe_batch_matmul_s8.h"

QE_EXTERN_C_BEGIN

/* As qe_batch_matmul_s8, where the terms of a row of a lie together, and those of a column of b, or at least eight
 * columns of b side by side; the shift is negative or 0. */
void qe_batch_matmul_s8_vec(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b, int8_t *output);

QE_EXTERN_C_END

#endif
