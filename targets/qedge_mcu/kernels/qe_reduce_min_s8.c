/* REDUCE_MIN int8. */
#include "qe_reduce_s8.h"

void qe_reduce_min_s8(const qe_reduce_max_params *p, const int8_t *input, int8_t *output)
{
    qe_walk out;
    qe_walk_start(&out, p->kept, p->kept_rank);
    do {
        int8_t smallest = INT8_MAX;
        qe_walk in;
        qe_walk_start(&in, p->reduced, p->reduced_rank);
        do {
            const int8_t *row = input + out.a + in.a;
            for (int32_t i = 0; i < p->row; ++i) {
                const int8_t value = row[i * p->row_step];
                smallest = value < smallest ? value : smallest;
            }
        } while (qe_walk_next(&in, p->reduced, p->reduced_rank));
        *output++ = smallest;
    } while (qe_walk_next(&out, p->kept, p->kept_rank));
}
