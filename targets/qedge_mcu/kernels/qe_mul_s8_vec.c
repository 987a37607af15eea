/* MUL int8 with vectors: eight values of a row at a time. */
#include "qe_mul_s8_vec.h"

#include "qe_vectors.h"

#if QE_VECTORS

/* Eight values of an operand, or one eight times where it repeats along the row. */
static qe_v8 eight_of(const int8_t *from, int32_t step)
{
    return step != 0 ? qe_v8_load_s8(from) : qe_v8_repeat(*from);
}

void qe_mul_s8_vec(const qe_mul_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    const qe_scale scale = qe_scale_of(p->multiplier, p->shift);
    const qe_range range = qe_range_of(p->output_zero_point, p->low, p->high);
    const qe_v8 offset_a = qe_v8_repeat(p->offset_a), offset_b = qe_v8_repeat(p->offset_b);
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        const int8_t *x = a + w.a;
        const int8_t *y = b + w.b;
        int32_t left = p->row;
        for (; left >= 8; left -= 8) {
            qe_v4 low, high;
            qe_v8_multiply(&low, &high, qe_v8_add(eight_of(x, p->step_a), offset_a),
                           qe_v8_add(eight_of(y, p->step_b), offset_b));
            qe_outputs_store(output, output + 4, qe_v4_requantize(low, &scale), qe_v4_requantize(high, &scale), &range);
            x += 8 * p->step_a;
            y += 8 * p->step_b;
            output += 8;
        }
        for (; left > 0; --left) {
            const int32_t product = (*x + p->offset_a) * (*y + p->offset_b);
            const int32_t scaled = qe_requantize(product, p->multiplier, p->shift);
            *output++ = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
            x += p->step_a;
            y += p->step_b;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}

#else

void qe_mul_s8_vec(const qe_mul_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    qe_mul_s8(p, a, b, output);
}

#endif
