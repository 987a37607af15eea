#ifndef QE_CONV_2D_PAIRS_S8_VEC_H
#define QE_CONV_2D_PAIRS_S8_VEC_H

#include "qe_conv_2d_pairs_s8.h"

QE_EXTERN_C_BEGIN

/* As qe_conv_2d_pairs_s8, but four pixels at a time. Of four neighbouring weights of an output (by fours, from the
 * first one) no two are -128. scratch: 8 bytes for every input of the window, filled up to eights, and 16 more. */
void qe_conv_2d_pairs_s8_vec(const qe_conv_2d_pairs_params *p, const int8_t *input, int8_t *output, void *scratch);

QE_EXTERN_C_END

#endif
