#include "qe_frontend.h"

/* (value * weight) >> 16, rounded down, for the Q15 cosine (low half) or sine (high half) of a twiddle:
 * one instruction where the core has it, which not every GCC's arm_acle.h knows, else two products. */
#if defined(__ARM_FEATURE_DSP)
static inline int32_t times_cosine(int32_t value, int32_t twiddle)
{
    int32_t result;
    __asm__("smulwb %0, %1, %2" : "=r"(result) : "r"(value), "r"(twiddle));
    return result;
}

static inline int32_t times_sine(int32_t value, int32_t twiddle)
{
    int32_t result;
    __asm__("smulwt %0, %1, %2" : "=r"(result) : "r"(value), "r"(twiddle));
    return result;
}
#else
static inline int32_t times_q15(int32_t value, int32_t weight)
{
    return (value >> 16) * weight + (((value & 0xFFFF) * weight) >> 16);
}

static inline int32_t times_cosine(int32_t value, int32_t twiddle)
{
    return times_q15(value, (int16_t)(twiddle & 0xFFFF));
}

static inline int32_t times_sine(int32_t value, int32_t twiddle)
{
    return times_q15(value, twiddle >> 16);
}
#endif

/* Write the windowed frame as points / 2 complex numbers (even samples real, odd imaginary) in bit-reversed
 * order. */
static void window_and_reorder(const qe_frontend_params *params, const int16_t *pcm, int32_t *data)
{
    const uint32_t complex_points = params->points / 2u;
    const uint32_t filled = params->window / 2u;
    const int16_t *weight = params->hann;
    uint32_t reversed = 0;
    for (uint32_t i = 0; i < complex_points; ++i) {
        int32_t *out = &data[2 * reversed];
        if (2 * i < filled) {
            out[0] = pcm[0] * weight[0];
            out[1] = pcm[1] * weight[1];
            weight += 2;
        } else if (i < filled) {
            const int16_t *mirrored = &params->hann[params->window - 2 * i];
            out[0] = pcm[0] * mirrored[0];
            out[1] = pcm[1] * mirrored[-1];
        } else {
            out[0] = 0;
            out[1] = 0;
        }
        pcm += i < filled ? 2 : 0;
        uint32_t bit = complex_points >> 1;
        while (reversed & bit) {
            reversed ^= bit;
            bit >>= 1;
        }
        reversed |= bit;
    }
}

/* The first two stages at once, on four complex numbers: their twiddles are 1 and -j. */
static inline void first_stages(int32_t *data, int32_t one)
{
    const int32_t b_real = times_cosine(data[2], one);
    const int32_t b_imag = times_cosine(data[3], one);
    const int32_t d_real = times_cosine(data[6], one);
    const int32_t d_imag = times_cosine(data[7], one);
    const int32_t sum_real = times_cosine((data[4] >> 1) + d_real, one);
    const int32_t sum_imag = times_cosine((data[5] >> 1) + d_imag, one);
    const int32_t difference_real = times_cosine((data[4] >> 1) - d_real, one);
    const int32_t difference_imag = times_cosine((data[5] >> 1) - d_imag, one);
    const int32_t p_real = ((data[0] >> 1) + b_real) >> 1;
    const int32_t p_imag = ((data[1] >> 1) + b_imag) >> 1;
    const int32_t m_real = ((data[0] >> 1) - b_real) >> 1;
    const int32_t m_imag = ((data[1] >> 1) - b_imag) >> 1;
    data[0] = p_real + sum_real;
    data[1] = p_imag + sum_imag;
    data[2] = m_real + difference_imag;
    data[3] = m_imag - difference_real;
    data[4] = p_real - sum_real;
    data[5] = p_imag - sum_imag;
    data[6] = m_real - difference_imag;
    data[7] = m_imag + difference_real;
}

/* Complex FFT of points / 2 numbers in bit-reversed order, in place; every stage halves. */
static void complex_fft(const qe_frontend_params *params, int32_t *data)
{
    const uint32_t values = params->points;
    for (uint32_t at = 0; at < values; at += 8) {
        first_stages(&data[at], params->twiddles[0]);
    }
    uint32_t step = values / 8;
    for (uint32_t half = 8; half < values; half *= 2, step /= 2) {
        for (int32_t *a = data; a < data + values; a += half) {
            const int32_t *twiddle = params->twiddles;
            const int32_t *end = a + half;
            for (int32_t *b = a + half; a < end; a += 2, b += 2, twiddle += step) {
                const int32_t weight = *twiddle;
                const int32_t b_real = b[0];
                const int32_t b_imag = b[1];
                const int32_t t_real = times_cosine(b_real, weight) + times_sine(b_imag, weight);
                const int32_t t_imag = times_cosine(b_imag, weight) - times_sine(b_real, weight);
                const int32_t a_real = a[0];
                const int32_t a_imag = a[1];
                a[0] = (a_real >> 1) + t_real;
                a[1] = (a_imag >> 1) + t_imag;
                b[0] = (a_real >> 1) - t_real;
                b[1] = (a_imag >> 1) - t_imag;
            }
        }
    }
}

/* Power of bin k of the real signal, from the FFT of its even and odd samples. */
static inline uint64_t bin_power(const int32_t *a, const int32_t *b, int32_t twiddle)
{
    const int32_t a_real = a[0] >> 1;
    const int32_t a_imag = a[1] >> 1;
    const int32_t b_real = b[0] >> 1;
    const int32_t b_imag = b[1] >> 1;
    const int32_t odd_real = a_imag + b_imag;
    const int32_t odd_imag = b_real - a_real;
    const int32_t real = ((a_real + b_real) >> 1) + times_cosine(odd_real, twiddle) + times_sine(odd_imag, twiddle);
    const int32_t imag = ((a_imag - b_imag) >> 1) + times_cosine(odd_imag, twiddle) - times_sine(odd_real, twiddle);
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
            const uint64_t power =
                bin_power(&scratch[2 * bin], &scratch[params->points - 2 * bin], params->twiddles[bin]);
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
