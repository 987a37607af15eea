/* SPLIT, SPLIT_V, UNPACK. */
#include "qe_concatenation.h"

void qe_split(const qe_parts_params *p, const void *input, void *const *outputs)
{
    const uint8_t *in = (const uint8_t *)input;
    for (int32_t i = 0; i < p->outer; ++i) {
        for (int32_t k = 0; k < p->parts; ++k) {
            const size_t bytes = (size_t)p->bytes[k];
            memcpy((uint8_t *)outputs[k] + (size_t)i * bytes, in, bytes);
            in += bytes;
        }
    }
}
