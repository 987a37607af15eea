#ifndef QE_MOVE_H
#define QE_MOVE_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

/* Copy bytes; the two places may overlap. */
void qe_move(void *to, const void *from, int32_t bytes);

QE_EXTERN_C_END

#endif
