/* SELECT_V2. */
#include "qe_select.h"

void qe_select(const qe_select_params *p, const uint8_t *condition, const void *a, const void *b, void *output)
{
    const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
    uint8_t *out = (uint8_t *)output;
    qe_walk w, v;
    qe_walk_start(&w, p->steps, p->rank);
    qe_walk_start(&v, p->others, p->others_rank);
    do {
        memcpy(out + v.b, condition[w.a] != 0u ? x + w.b : y + v.a, (size_t)p->bytes);
        (void)qe_walk_next(&v, p->others, p->others_rank);
    } while (qe_walk_next(&w, p->steps, p->rank));
}
