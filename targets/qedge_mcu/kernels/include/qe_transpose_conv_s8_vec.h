#ifndef QE_TRANSPOSE_CONV_S8_VEC_H
#define QE_TRANSPOSE_CONV_S8_VEC_H

#include "qe_transpose_conv_s8.h"

QE_EXTERN_C_BEGIN

/* As qe_transpose_conv_s8; shifts are negative or 0. scratch: 8 bytes for every tap of the filter. */
void qe_transpose_conv_s8_vec(const qe_transpose_conv_params *p, const int8_t *input, int8_t *output, void *scratch);

QE_EXTERN_C_END

#endif
