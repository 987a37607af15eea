#ifndef QE_AVERAGE_POOL_2D_S8_DSP_H
#define QE_AVERAGE_POOL_2D_S8_DSP_H

#include "qe_dsp.h"
#include "qe_pool_2d_s8.h"

QE_EXTERN_C_BEGIN

/* As qe_average_pool_2d_s8, for a multiple of 4 channels and windows of at most 255 pixels. */
void qe_average_pool_2d_s8_dsp(const qe_pool_2d_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
