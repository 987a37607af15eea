/* Sound from the flash in place of a microphone, to try an image where there is none. */
#include "../board.h"

extern const int16_t recording[];
extern const size_t recording_samples;

int board_record(int16_t *pcm, size_t count)
{
    static size_t taken;
    if (recording_samples - taken < count) {
        return 0;
    }
    for (size_t i = 0; i < count; ++i) {
        pcm[i] = recording[taken + i];
    }
    taken += count;
    return 1;
}
