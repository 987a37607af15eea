#ifndef QE_ADD_S8_VEC_H
#define QE_ADD_S8_VEC_H

#include "qe_add_s8.h"

QE_EXTERN_C_BEGIN

/* As qe_add_s8. */
void qe_add_s8_vec(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output);

QE_EXTERN_C_END

#endif
