#ifndef QE_ADD_S8_DSP_H
#define QE_ADD_S8_DSP_H

#include "qe_add_s8.h"
#include "qe_dsp.h"

QE_EXTERN_C_BEGIN

/* As qe_add_s8, with an output_shift of at most 20. */
void qe_add_s8_dsp(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output);

QE_EXTERN_C_END

#endif
