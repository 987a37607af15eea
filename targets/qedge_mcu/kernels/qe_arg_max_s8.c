/* ARG_MAX, ARG_MIN int8. */
#include "qe_arg_max_s8.h"

#ifdef QE_ARG_MAX
void qe_arg_max_s8(const qe_arg_max_params *p, const int8_t *input, int32_t *output)
{
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t i = 0; i < p->inner; ++i) {
            int32_t best = 0;
            for (int32_t k = 1; k < p->count; ++k) {
                if (input[k * p->inner + i] > input[best * p->inner + i]) {
                    best = k;
                }
            }
            *output++ = best;
        }
        input += p->count * p->inner;
    }
}
#endif

#ifdef QE_ARG_MIN
void qe_arg_min_s8(const qe_arg_max_params *p, const int8_t *input, int32_t *output)
{
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t i = 0; i < p->inner; ++i) {
            int32_t best = 0;
            for (int32_t k = 1; k < p->count; ++k) {
                if (input[k * p->inner + i] < input[best * p->inner + i]) {
                    best = k;
                }
            }
            *output++ = best;
        }
        input += p->count * p->inner;
    }
}
#endif
