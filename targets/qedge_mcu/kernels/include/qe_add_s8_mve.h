#ifndef QE_ADD_S8_MVE_H
#define QE_ADD_S8_MVE_H

#include "qe_add_s8.h"
#include "qe_mve.h"

QE_EXTERN_C_BEGIN

/* As qe_add_s8. */
void qe_add_s8_mve(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output);

QE_EXTERN_C_END

#endif
