#include "qe_frontend.h"

#if defined(__ARM_FEATURE_DSP)
#include <arm_acle.h>
#endif

/* (a * b) >> 16, rounded down, for a Q15 weight b: one SMULWB where the core has it, else two products. */
static inline int32_t scale_q15_half(int32_t a, int16_t b)
{
#if defined(__ARM_FEATURE_DSP)
    return __smulwb(a, b);
#else
    return (a >> 16) * b + (((int32_t)(a & 0xFFFF) * b) >> 16);
#endif
}

/* Write the windowed frame as points / 2 complex numbers (even samples real, odd imaginary) in bit-reversed
 * order. */
static void window_and_reorder(const qe_frontend_params *params, const int16_t *pcm, int32_t *data)
{
    const uint32_t complex_points = params->points / 2u;
    uint32_t reversed = 0;
    for (uint32_t i = 0; i < complex_points; ++i) {
        int32_t *out = &data[2 * reversed];
        const uint32_t even = 2 * i;
        if (even < params->window) {
            const uint32_t half = params->window / 2u;
            const uint32_t odd = even + 1;
            out[0] = pcm[even] * params->hann[even <= half ? even : params->window - even];
            out[1] = pcm[odd] * params->hann[odd <= half ? odd : params->window - odd];
        } else {
            out[0] = 0;
            out[1] = 0;
        }
        uint32_t bit = complex_points >> 1;
        while (reversed & bit) {
            reversed ^= bit;
            bit >>= 1;
        }
        reversed |= bit;
    }
}

/* Complex FFT of points / 2 numbers in bit-reversed order, in place; every stage halves. */
static void complex_fft(const qe_frontend_params *params, int32_t *data)
{
    const uint32_t values = params->points;
    uint32_t step = values / 2;
    for (uint32_t half = 2; half < values; half *= 2, step /= 2) {
        const int16_t *twiddle = params->twiddles;
        for (uint32_t k = 0; k < half; k += 2, twiddle += 2 * step) {
            const int16_t cosine = twiddle[0];
            const int16_t sine = twiddle[1];
            for (uint32_t at = k; at < values; at += 2 * half) {
                int32_t *a = &data[at];
                int32_t *b = &data[at + half];
                const int32_t t_real = scale_q15_half(b[0], cosine) + scale_q15_half(b[1], sine);
                const int32_t t_imag = scale_q15_half(b[1], cosine) - scale_q15_half(b[0], sine);
                const int32_t a_real = a[0] >> 1;
                const int32_t a_imag = a[1] >> 1;
                a[0] = a_real + t_real;
                a[1] = a_imag + t_imag;
                b[0] = a_real - t_real;
                b[1] = a_imag - t_imag;
            }
        }
    }
}

/* Power of bin k of the real signal, from the FFT of its even and odd samples. */
static uint64_t bin_power(const qe_frontend_params *params, const int32_t *data, uint32_t k)
{
    const int32_t *a = &data[2 * k];
    const int32_t *b = &data[params->points - 2 * k];
    const int16_t cosine = params->twiddles[2 * k];
    const int16_t sine = params->twiddles[2 * k + 1];
    const int32_t a_real = a[0] >> 1;
    const int32_t a_imag = a[1] >> 1;
    const int32_t b_real = b[0] >> 1;
    const int32_t b_imag = b[1] >> 1;
    const int32_t odd_real = a_imag + b_imag;
    const int32_t odd_imag = b_real - a_real;
    const int32_t real =
        ((a_real + b_real) >> 1) + scale_q15_half(odd_real, cosine) + scale_q15_half(odd_imag, sine);
    const int32_t imag =
        ((a_imag - b_imag) >> 1) + scale_q15_half(odd_imag, cosine) - scale_q15_half(odd_real, sine);
    return (uint64_t)((int64_t)real * real + (int64_t)imag * imag) >> 12;
}

static uint32_t floor_log2(uint64_t value)
{
    uint32_t high = (uint32_t)(value >> 32);
    uint32_t result = 0;
    if (high != 0) {
        result = 32;
    } else {
        high = (uint32_t)value;
    }
#if defined(__GNUC__)
    return result + 31u - (uint32_t)__builtin_clz(high);
#else
    while (high >>= 1) {
        ++result;
    }
    return result;
#endif
}

/* log2(energy + floor) above the floor, in Q8. */
static int32_t octaves_q8(const qe_frontend_params *params, uint64_t energy)
{
    energy += (uint64_t)1 << params->floor_bits;
    const uint32_t exponent = floor_log2(energy);
    const uint64_t below = exponent > 16 ? energy >> (exponent - 16) : energy << (16 - exponent);
    const uint32_t fraction = (uint32_t)below & 0xFFFFu;
    const uint16_t *entry = &params->log_table[fraction >> 11];
    const uint32_t rest = fraction & 0x7FFu;
    const uint32_t mantissa = entry[0] + (((uint32_t)(entry[1] - entry[0]) * rest) >> 11);
    return (int32_t)((((exponent - params->floor_bits) << 15) + mantissa) >> 7);
}

static int8_t quantise(const int16_t *thresholds, int32_t octaves)
{
    uint32_t reached = 0;
    for (uint32_t step = 128; step != 0; step >>= 1) {
        if (thresholds[reached + step - 1] <= octaves) {
            reached += step;
        }
    }
    return (int8_t)((int32_t)reached - 128);
}

void qe_frontend_frame(const qe_frontend_params *params, const int16_t *pcm, int32_t *scratch, int8_t *features)
{
    window_and_reorder(params, pcm, scratch);
    complex_fft(params, scratch);
    uint32_t bin = params->first_bin;
    const uint16_t *weight = params->bin_weights;
    uint64_t upper_of_before = 0;
    for (uint32_t segment = 0; segment <= params->mels; ++segment) {
        uint64_t upper = 0;
        uint64_t total = 0;
        for (uint32_t left = params->segment_bins[segment]; left != 0; --left, ++bin, ++weight) {
            const uint64_t power = bin_power(params, scratch, bin);
            upper += power * *weight;
            total += power << 12;
        }
        if (segment != 0) {
            const int32_t octaves = octaves_q8(params, upper_of_before + total - upper);
            features[segment - 1] = quantise(params->thresholds, octaves);
        }
        upper_of_before = upper;
    }
}
