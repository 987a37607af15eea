/* CONCATENATION, PACK. */
#include "qe_concatenation.h"

void qe_concatenation(const qe_parts_params *p, const void *const *inputs, void *output)
{
    uint8_t *out = (uint8_t *)output;
    for (int32_t i = 0; i < p->outer; ++i) {
        for (int32_t k = 0; k < p->parts; ++k) {
            const size_t bytes = (size_t)p->bytes[k];
            memcpy(out, (const uint8_t *)inputs[k] + (size_t)i * bytes, bytes);
            out += bytes;
        }
    }
}
