#include "keyword.h"

#include <string.h>

const char *const keyword_names[KEYWORD_LABELS] = {
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "unknown", "silence",
};

int keyword_init(keyword_spotter *spotter)
{
    memset(spotter, 0, sizeof *spotter);
    spotter->last = -1;
    digits_frontend_init(&spotter->sound);
    return digits_init(&spotter->model);
}

/* Sum of the last scores of a label: 256 a run is certainty. */
static uint32_t smoothed(const keyword_spotter *spotter, int label)
{
    uint32_t sum = 0;
    for (int run = 0; run < KEYWORD_SMOOTH; ++run) {
        sum += spotter->history[run][label];
    }
    return sum;
}

static int decide(keyword_spotter *spotter)
{
    const uint32_t certain = 256u * KEYWORD_SMOOTH;
    if (spotter->last >= 0 && smoothed(spotter, spotter->last) * 100u < KEYWORD_RELEASE_PERCENT * certain) {
        spotter->last = -1;
    }
    int best = 0;
    for (int label = 1; label < KEYWORD_COUNT; ++label) {
        if (smoothed(spotter, label) > smoothed(spotter, best)) {
            best = label;
        }
    }
    const int resting = spotter->last_run != 0 && spotter->runs - spotter->last_run < KEYWORD_REFRACTORY_RUNS;
    if (smoothed(spotter, best) * 100u < KEYWORD_THRESHOLD_PERCENT * certain || best == spotter->last || resting) {
        return -1;
    }
    spotter->last = best;
    spotter->last_run = spotter->runs;
    return best;
}

int keyword_push(keyword_spotter *spotter, const int16_t *pcm)
{
    for (size_t at = 0; at < KEYWORD_STEP;) {
        int completed;
        at += digits_frontend_push(&spotter->sound, pcm + at, KEYWORD_STEP - at, &completed);
    }
    memcpy(digits_input(&spotter->model), spotter->sound.features, DIGITS_INPUT_BYTES);
    if (digits_run(&spotter->model) != DIGITS_OK) {
        return -1;
    }
    const int8_t *scores = digits_output(&spotter->model);
    uint8_t *row = spotter->history[spotter->runs % KEYWORD_SMOOTH];
    for (int label = 0; label < KEYWORD_LABELS; ++label) {
        row[label] = (uint8_t)(scores[label] + 128);
    }
    ++spotter->runs;
    return decide(spotter);
}
