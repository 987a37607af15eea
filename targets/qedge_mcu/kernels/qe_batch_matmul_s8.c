/* BATCH_MATMUL int8, either side transposed. */
#include "qe_batch_matmul_s8.h"

static int32_t dot(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < p->depth; ++k) {
        sum += (a[k * p->a_step] + p->offset_a) * (b[k * p->b_step] + p->offset_b);
    }
    return sum;
}

void qe_batch_matmul_s8(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        for (int32_t r = 0; r < p->rows; ++r) {
            for (int32_t c = 0; c < p->columns; ++c) {
                const int32_t sum = dot(p, a + w.a + r * p->a_row, b + w.b + c * p->b_column);
                const int32_t scaled = qe_requantize(sum, p->multiplier, p->shift);
                *output++ = qe_clamp_s8(scaled + p->output_zero_point, -128, 127);
            }
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
