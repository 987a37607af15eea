#ifndef QE_POOL_2D_S8_VEC_H
#define QE_POOL_2D_S8_VEC_H

#include "qe_pool_2d_s8.h"

QE_EXTERN_C_BEGIN

/* As qe_average_pool_2d_s8 and qe_max_pool_2d_s8, for at least eight channels. */
void qe_average_pool_2d_s8_vec(const qe_pool_2d_params *p, const int8_t *input, int8_t *output);
void qe_max_pool_2d_s8_vec(const qe_pool_2d_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
