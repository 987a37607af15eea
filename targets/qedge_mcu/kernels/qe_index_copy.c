/* Copies where each dimension has a list of places to read from: MIRROR_PAD, TILE. */
#include "qe_index_copy.h"

void qe_index_copy(const qe_index_copy_params *p, const void *input, void *output)
{
    const uint8_t *in = (const uint8_t *)input;
    uint8_t *out = (uint8_t *)output;
    const int32_t *first = p->offsets, *second = first + p->sizes[0];
    const int32_t *third = second + p->sizes[1], *fourth = third + p->sizes[2];
    for (int32_t i = 0; i < p->sizes[0]; ++i) {
        for (int32_t j = 0; j < p->sizes[1]; ++j) {
            for (int32_t k = 0; k < p->sizes[2]; ++k) {
                const uint8_t *row = in + first[i] + second[j] + third[k];
                for (int32_t l = 0; l < p->sizes[3]; ++l) {
                    memcpy(out, row + fourth[l], (size_t)p->run);
                    out += p->run;
                }
            }
        }
    }
}
