/* RESIZE_NEAREST_NEIGHBOR, any type. */
#include "qe_resize_nearest_neighbor.h"

void qe_resize_nearest_neighbor(const qe_resize_nearest_neighbor_params *p, const void *input, void *output)
{
    const size_t pixel = p->pixel;
    uint8_t *out = (uint8_t *)output;
    for (int32_t y = 0; y < p->out_height; ++y) {
        const uint8_t *row = (const uint8_t *)input + (size_t)p->rows[y] * p->in_width * pixel;
        for (int32_t x = 0; x < p->out_width; ++x) {
            memcpy(out, row + (size_t)p->columns[x] * pixel, pixel);
            out += pixel;
        }
    }
}
