#ifndef QE_INDEX_COPY_H
#define QE_INDEX_COPY_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *offsets; /* for each dimension of the output, outermost first, where each entry is read, in bytes */
    int32_t sizes[4];       /* entries along each dimension, 1 for those that are not there */
    int32_t run;            /* bytes that lie together in both */
} qe_index_copy_params;

/* output[i][j][k][l] = the run at input + offsets of i, j, k and l together: MIRROR_PAD, TILE. */
void qe_index_copy(const qe_index_copy_params *p, const void *input, void *output);

QE_EXTERN_C_END

#endif
