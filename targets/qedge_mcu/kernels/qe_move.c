/* Moves bytes: state of streaming models. */
#include "qe_move.h"

void qe_move(void *to, const void *from, int32_t bytes)
{
    memmove(to, from, (size_t)bytes);
}
