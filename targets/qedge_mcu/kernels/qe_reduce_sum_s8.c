/* MEAN, SUM int8. */
#include "qe_reduce_s8.h"

void qe_reduce_sum_s8(const qe_reduce_sum_params *p, const int8_t *input, int8_t *output)
{
    qe_walk out;
    qe_walk_start(&out, p->kept, p->kept_rank);
    do {
        int32_t sum = p->start;
        qe_walk in;
        qe_walk_start(&in, p->reduced, p->reduced_rank);
        do {
            const int8_t *row = input + out.a + in.a;
            for (int32_t i = 0; i < p->row; ++i) {
                sum += row[i * p->row_step];
            }
        } while (qe_walk_next(&in, p->reduced, p->reduced_rank));
        const int32_t scaled = qe_requantize(sum, p->multiplier, p->shift);
        *output++ = qe_clamp_s8(scaled + p->output_zero_point, -128, 127);
    } while (qe_walk_next(&out, p->kept, p->kept_rank));
}
