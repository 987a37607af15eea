/* A microphone in, keywords out on the serial port. */
#include "board.h"
#include "keyword.h"

static keyword_spotter spotter;
static int16_t pcm[KEYWORD_STEP];

int main(void)
{
    board_init();
    if (keyword_init(&spotter) != 0) {
        board_print("the model does not start\n");
        return 1;
    }
    board_print("listening\n");
    while (board_record(pcm, KEYWORD_STEP)) {
        const int label = keyword_push(&spotter, pcm);
        if (label >= 0) {
            board_print(keyword_names[label]);
            board_print("\n");
        }
    }
    return 0;
}
