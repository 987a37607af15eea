/* Constant values: ZEROS_LIKE, SHAPE, BROADCAST_ARGS. */
#include "qe_fill.h"

void qe_fill(const qe_fill_params *p, void *output)
{
    uint8_t *out = (uint8_t *)output;
    for (int32_t i = 0; i < p->count; ++i) {
        memcpy(out, p->values, (size_t)p->bytes);
        out += p->bytes;
    }
}
