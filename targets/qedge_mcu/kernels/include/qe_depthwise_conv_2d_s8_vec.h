#ifndef QE_DEPTHWISE_CONV_2D_S8_VEC_H
#define QE_DEPTHWISE_CONV_2D_S8_VEC_H

#include "qe_depthwise_conv_2d_s8.h"

QE_EXTERN_C_BEGIN

/* As qe_depthwise_conv_2d_s8, for at least eight channels that make one output each; shifts are negative or 0.
 * scratch: 8 bytes for every tap of the filter. */
void qe_depthwise_conv_2d_s8_vec(const qe_depthwise_conv_2d_params *p, const int8_t *input, int8_t *output,
                                 void *scratch);

QE_EXTERN_C_END

#endif
