/* DYNAMIC_UPDATE_SLICE. */
#include "qe_update_slice.h"

void qe_update_slice(const qe_update_slice_params *p, const void *operand, const void *update, const int32_t *starts,
                     void *output)
{
    const uint8_t *in = (const uint8_t *)update;
    uint8_t *out = (uint8_t *)output;
    memmove(output, operand, (size_t)p->bytes);
    for (int32_t d = 0; d < p->dimensions; ++d) {
        out += qe_clamp(starts[d], 0, p->room[d]) * p->strides[d];
    }
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        memcpy(out + w.b, in + w.a, (size_t)p->run);
    } while (qe_walk_next(&w, p->steps, p->rank));
}
