#ifndef QE_CONCATENATION_H
#define QE_CONCATENATION_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *bytes; /* [parts]: what one part adds each time round */
    int32_t outer;        /* times round */
    uint16_t parts;
} qe_parts_params;

/* Interleave several inputs: CONCATENATION, PACK. */
void qe_concatenation(const qe_parts_params *p, const void *const *inputs, void *output);

/* Deal one input out to several outputs: SPLIT, SPLIT_V, UNPACK. */
void qe_split(const qe_parts_params *p, const void *input, void *const *outputs);

QE_EXTERN_C_END

#endif
