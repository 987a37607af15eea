/* Any function of one int8 value: LOGISTIC, TANH, HARD_SWISH, RELU, requantisation ... */
#include "qe_lookup_s8.h"

void qe_lookup_s8(const qe_lookup_params *p, const int8_t *input, int8_t *output)
{
    const int8_t *zero = p->table + 128;
    for (int32_t i = 0; i < p->count; ++i) {
        output[i] = zero[input[i]];
    }
}
