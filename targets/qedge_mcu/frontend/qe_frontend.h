/* The integer log-mel front end: int16 PCM in, int8 features in the model's quantisation out.
 *
 * The definition, step by step, is qedge/processing/log_mel_int.py; this is the same arithmetic, bit for bit.
 * No floating point, no heap, no globals, no libm. */
#ifndef QE_FRONTEND_H
#define QE_FRONTEND_H

#include <stddef.h>
#include <stdint.h>

/* @prefix@ */

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters and tables. */
typedef struct {
    const int16_t *hann;         /* window weights in Q15: first half and the middle, window / 2 + 1 */
    const int32_t *twiddles;     /* sin (high half), cos (low half) of 2 pi k / points in Q15, k < points / 2 */
    const uint16_t *bin_weights; /* Q12, in [0, 4096]: what a bin gives to the upper of its two filters */
    const uint16_t *segment_bins; /* number of bins below each centre and above the one before, mels + 1 */
    const uint16_t *log_table;   /* log2(1 + i / 32) in Q15, 33 values */
    const int16_t *thresholds;   /* the feature is -128 plus how many of these 255 its Q8 octaves reach */
    uint16_t window;             /* samples of a frame, even, at most points */
    uint16_t points;             /* length of the real FFT, a power of two from 64 to 2048 */
    uint16_t first_bin;          /* FFT bin of bin_weights[0] */
    uint8_t mels;                /* features of a frame */
    uint8_t floor_bits;          /* log2 of the energy that is added before the logarithm */
} qe_frontend_params;

/* Compute the features of one frame.
 *
 * pcm: params->window samples; scratch: params->points words; features: params->mels values. */
void qe_frontend_frame(const qe_frontend_params *params, const int16_t *pcm, int32_t *scratch, int8_t *features);

#ifdef __cplusplus
}
#endif

#endif
