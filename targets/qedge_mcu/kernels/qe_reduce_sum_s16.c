/* MEAN, SUM int16. */
#include "qe_reduce_s16.h"

void qe_reduce_sum_s16(const qe_reduce_s16_params *p, const int16_t *input, int16_t *output)
{
    qe_walk out;
    qe_walk_start(&out, p->kept, p->kept_rank);
    do {
        int32_t sum = p->start;
        qe_walk in;
        qe_walk_start(&in, p->reduced, p->reduced_rank);
        do {
            const int16_t *row = input + out.a + in.a;
            for (int32_t i = 0; i < p->row; ++i) {
                sum += row[i * p->row_step];
            }
        } while (qe_walk_next(&in, p->reduced, p->reduced_rank));
        const int32_t scaled = qe_requantize(sum, p->multiplier, p->shift);
        *output++ = (int16_t)qe_clamp(scaled + p->output_zero_point, INT16_MIN, INT16_MAX);
    } while (qe_walk_next(&out, p->kept, p->kept_rank));
}
