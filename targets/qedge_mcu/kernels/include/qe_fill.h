#ifndef QE_FILL_H
#define QE_FILL_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int8_t *values;
    int32_t bytes; /* of values */
    int32_t count; /* how often they are written, one after the other */
} qe_fill_params;

/* Write constant bytes. */
void qe_fill(const qe_fill_params *p, void *output);

QE_EXTERN_C_END

#endif
