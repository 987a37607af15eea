#ifndef QE_MUL_S8_VEC_H
#define QE_MUL_S8_VEC_H

#include "qe_mul_s8.h"

QE_EXTERN_C_BEGIN

/* As qe_mul_s8; the shift is negative or 0. */
void qe_mul_s8_vec(const qe_mul_params *p, const int8_t *a, const int8_t *b, int8_t *output);

QE_EXTERN_C_END

#endif
