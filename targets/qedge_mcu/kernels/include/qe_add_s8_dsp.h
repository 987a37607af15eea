#ifndef QE_ADD_S8_DSP_H
#define QE_ADD_S8_DSP_H

#include "qe_add_s8.h"
#include "qe_dsp.h"

QE_EXTERN_C_BEGIN

/* Everything ready to be multiplied; the assembler counts on the order. The halves round: a shift sends ties away from
 * zero when one is taken off negative values first, and a product that vanishes rounds to zero either way, so that
 * the factor's sign does. */
typedef struct {
    uint32_t ones, fours; /* values by one, then by four */
    int32_t small_factor, small_start, small_half, small_multiplier, small_shift;
    int32_t large_start, output_multiplier, output_half, output_shift;
#ifdef QE_ADD_CLAMP
    int32_t low, high;
#endif
} qe_add_call;

/* The parameters have an output_shift of at most 20. */
void qe_add_prepare_dsp(qe_add_call *call, const qe_add_params *p);

/* Both at once; as qe_add_s8. */
void qe_add_single_dsp(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output);

/* As qe_add_s8. */
void qe_add_s8_dsp(const qe_add_call *call, const int8_t *large, const int8_t *small, int8_t *output);

QE_EXTERN_C_END

#endif
