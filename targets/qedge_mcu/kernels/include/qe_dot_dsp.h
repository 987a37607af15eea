/* Inner products for cores with the DSP extension: 16-bit activations by 8-bit weights.
 *
 * Weights of two channels a and b lie in one stream: a 16-bit lane holds 256 * b + a, so that one SMLAD with
 * the word as it is and one with its low bytes (SXTB16) give 256 * B + A and A. The difference is exact as
 * long as 128 * sum(|b|) < 2^23, which the generator checks.
 * Lanes of four consecutive k are in the order in which SXTB16 takes bytes apart: (0, 2), (1, 3).
 */
#ifndef QE_DOT_DSP_H
#define QE_DOT_DSP_H

#include "qe_dsp.h"

QE_EXTERN_C_BEGIN

/* B from 256 * B + A and A. */
static inline uint32_t qe_upper(uint32_t both, uint32_t low)
{
    return (uint32_t)((int32_t)(both - low) >> 8);
}

/* One call makes groups of four channels of one vector, straight from its bytes.
 *
 * weights, for each group: depth / 4 times the two words of channels 0 and 1, then those of 2 and 3; then the
 * two words (bias and shift, multiplier) of the four channels. Where all channels have one multiplier the other
 * function is given it, and takes the first word alone from the stream. QE_DOT_4_CHANNELS and QE_DOT_4_SHARED
 * say which of the two a model uses. */
typedef struct {
    const void *weights;
    const int8_t *input;
    int8_t *output;
    uint32_t groups; /* at least 1 */
    uint32_t depth;  /* a multiple of 4, at least 4 */
    int32_t offset;  /* 2 * output zero point + 1 */
} qe_dot_4_dsp_call;

void qe_dot_4_dsp(const qe_dot_4_dsp_call *call);
void qe_dot_4_shared_dsp(const qe_dot_4_dsp_call *call, int32_t multiplier);

QE_EXTERN_C_END

#endif
