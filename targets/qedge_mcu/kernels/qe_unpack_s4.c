/* Weights of 4 bits to those of 8, four at a time. */
#include "qe_unpack_s4.h"

/* The half bytes of a word hold a code plus 8 each; the guard keeps what 8 borrows within a lane. */
static inline uint32_t unpack(uint32_t halves, uint32_t guard)
{
    return (((halves & 0x0F0F0F0Fu) | guard) - 0x08080808u) ^ guard;
}

void qe_unpack_s4(void *to, const uint32_t *packed, uint32_t groups, uint32_t pairs, uint32_t plain, uint32_t guard)
{
    uint32_t *words = (uint32_t *)to;
    for (; groups > 0u; --groups) {
        for (uint32_t i = pairs; i > 0u; --i) {
            const uint32_t both = *packed++;
            words[0] = unpack(both, guard);
            words[1] = unpack(both >> 4, guard);
            words += 2;
        }
        for (uint32_t i = plain; i > 0u; --i) {
            *words++ = *packed++;
        }
    }
}
