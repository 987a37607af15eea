#ifndef QE_CAST_H
#define QE_CAST_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t count; /* values */
    uint8_t from, to; /* 1: int8, 2: int16, 4: int32, 5: uint8 or bool, 6: float, 7: bool from any value that is not 0 */
} qe_cast_params;

/* Change the type of values; a float is truncated and saturated to 32 bits, NaN is 0. */
void qe_cast(const qe_cast_params *p, const void *input, void *output);

QE_EXTERN_C_END

#endif
