/* LOGISTIC, TANH int16: a table of the sigmoid, interpolated. tanh(x) = 2 sigmoid(2 x) - 1. */
#include "qe_sigmoid_s16.h"

static int32_t argument(const qe_sigmoid_s16_params *p, int16_t x)
{
    const int32_t round = p->shift > 0u ? (int32_t)1 << (p->shift - 1u) : 0;
    return (x * p->multiplier + round) >> p->shift;
}

/* Return sigmoid(|x|) in 0.(16 + bits) fixed point, where an entry of the table is 2^bits steps of x. */
static uint32_t interpolate(const uint16_t *table, int32_t x, uint32_t bits, uint32_t largest)
{
    const uint32_t size = (uint32_t)(x < 0 ? -x : x);
    const uint32_t entry = size >> bits;
    if (entry >= 255u) {
        return largest;
    }
    const uint32_t low = table[entry], high = table[entry + 1u];
    return (low << bits) + (size & ((1u << bits) - 1u)) * (high - low);
}

#ifdef QE_LOGISTIC_S16
void qe_logistic_s16(const qe_sigmoid_s16_params *p, const int16_t *input, int16_t *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        const int32_t x = argument(p, input[i]);
        const uint32_t y = interpolate(p->table, x, 9u, (uint32_t)0x7FFF << 10);
        output[i] = (int16_t)((x >= 0 ? y + 512u : ((uint32_t)1 << 25) - y + 511u) >> 10);
    }
}
#endif

#ifdef QE_TANH_S16
void qe_tanh_s16(const qe_sigmoid_s16_params *p, const int16_t *input, int16_t *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        const int32_t x = argument(p, input[i]);
        const int32_t y = (int32_t)interpolate(p->table, x, 8u, (uint32_t)0xFFFF << 8);
        const int32_t half = (int32_t)1 << 23;
        output[i] = (int16_t)((x >= 0 ? y - half + 128 : -y + half + 127) >> 8);
    }
}
#endif
