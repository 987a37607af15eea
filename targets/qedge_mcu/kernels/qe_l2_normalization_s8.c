/* L2_NORMALIZATION int8. */
#include "qe_l2_normalization_s8.h"

typedef struct {
    int32_t multiplier, shift;
} qe_inverse_root;

/* Return x^-1/2 as multiplier * 2^(shift - 31): five Newton-Raphson steps with three integer bits. */
static qe_inverse_root inverse_root(int32_t x)
{
    qe_inverse_root r = {INT32_MAX, 0};
    if (x <= 1) {
        return r;
    }
    int32_t right = 11;
    while (x >= (1 << 29)) {
        x /= 4;
        ++right;
    }
    while (x < (1 << 27)) {
        x *= 4;
        --right;
    }
    const int32_t half = qe_rounding_shift(x >> 1, 1);
    int32_t y = 1 << 28;
    for (int32_t i = 0; i < 5; ++i) {
        const int32_t cube = qe_high_mul(qe_high_mul(y, y), y) * 64;
        y = (qe_high_mul((1 << 28) + (1 << 27), y) - qe_high_mul(half, cube)) * 8;
    }
    y = qe_high_mul(y, 1518500250);
    r.multiplier = right < 0 ? (int32_t)((uint32_t)y << -right) : y;
    r.shift = right < 0 ? 0 : -right;
    return r;
}

void qe_l2_normalization_s8(const qe_l2_normalization_params *p, const int8_t *input, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; ++row) {
        int32_t squares = 0;
        for (int32_t i = 0; i < p->depth; ++i) {
            const int32_t value = input[i] - p->zero_point;
            squares += value * value;
        }
        const qe_inverse_root root = inverse_root(squares);
        for (int32_t i = 0; i < p->depth; ++i) {
            const int32_t scaled = qe_requantize(input[i] - p->zero_point, root.multiplier, root.shift + 7);
            output[i] = qe_clamp_s8(scaled, -128, 127);
        }
        input += p->depth;
        output += p->depth;
    }
}
