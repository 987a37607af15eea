/* DIV int8: reciprocals from a table. */
#include "qe_div_s8.h"

/* Return the number of leading bits of x that equal its sign, less one. */
static int32_t headroom(int32_t x)
{
    const uint32_t size = (uint32_t)(x < 0 ? ~x : x);
    int32_t bits = 0;
    while (bits < 31 && ((size << (bits + 1)) & 0x80000000u) == 0u) {
        ++bits;
    }
    return bits;
}

static int32_t quotient(const qe_div_params *p, int32_t x, int32_t y, int32_t reciprocal)
{
    const int32_t dividend = y < 0 ? -x : x;
    const int32_t divisor = y < 0 ? -y : y;
    const int32_t spare = headroom(dividend);
    int32_t bits = 0; /* of the divisor beyond its leading one */
    while ((divisor >> (bits + 1)) != 0) {
        ++bits;
    }
    const int32_t fine = qe_high_mul((int32_t)((uint32_t)dividend << spare), reciprocal);
    const int32_t shift = bits + spare - p->shift;
    const int32_t product = qe_high_mul(fine, p->multiplier);
    return shift > 31 ? 0 : qe_rounding_shift(product, shift > 0 ? shift : 0);
}

void qe_div_s8(const qe_div_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        const int8_t *x = a + w.a;
        const int8_t *y = b + w.b;
        for (int32_t i = 0; i < p->row; ++i) {
            const int32_t value = quotient(p, *x + p->offset_a, *y + p->offset_b, p->reciprocal[*y + 128]);
            *output++ = qe_clamp_s8(value + p->output_zero_point, p->low, p->high);
            x += p->step_a;
            y += p->step_b;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
