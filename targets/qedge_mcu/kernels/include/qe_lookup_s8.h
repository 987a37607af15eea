#ifndef QE_LOOKUP_S8_H
#define QE_LOOKUP_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int8_t *table; /* [256]: the output for the input -128, -127 ... 127 */
    int32_t count;       /* values */
} qe_lookup_params;

/* output[i] = table[input[i] + 128]; the two may be the same memory. */
void qe_lookup_s8(const qe_lookup_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
