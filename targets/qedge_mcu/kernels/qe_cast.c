/* CAST between numbers. */
#include "qe_cast.h"

static int32_t truncated(float x)
{
    if (x >= 2147483648.0f) {
        return INT32_MAX;
    }
    if (x < -2147483648.0f) {
        return INT32_MIN;
    }
    return x == x ? (int32_t)x : 0;
}

static int32_t load(const void *from, int32_t i, uint32_t kind)
{
    switch (kind) {
    case 1: return ((const int8_t *)from)[i];
    case 2: return ((const int16_t *)from)[i];
    case 4: return ((const int32_t *)from)[i];
    case 5: return ((const uint8_t *)from)[i];
    default: return truncated(((const float *)from)[i]);
    }
}

void qe_cast(const qe_cast_params *p, const void *input, void *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        if (p->to == 6u) {
            ((float *)output)[i] = p->from == 6u ? ((const float *)input)[i] : (float)load(input, i, p->from);
            continue;
        }
        const int32_t x = load(input, i, p->from);
        switch (p->to) {
        case 1: ((int8_t *)output)[i] = (int8_t)x; break;
        case 2: ((int16_t *)output)[i] = (int16_t)x; break;
        case 4: ((int32_t *)output)[i] = x; break;
        case 5: ((uint8_t *)output)[i] = (uint8_t)x; break;
        default: ((uint8_t *)output)[i] = x != 0 ? 1u : 0u; break;
        }
    }
}
