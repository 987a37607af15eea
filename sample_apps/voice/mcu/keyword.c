#include "keyword.h"

#include <string.h>

const char *const keyword_names[KEYWORD_LABELS] = {
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "unknown", "silence",
};

int keyword_init(keyword_spotter *spotter)
{
    memset(spotter, 0, sizeof *spotter);
    digits_frontend_init(&spotter->sound);
    return digits_init(&spotter->model);
}

/* Sum of a label's scores in the last runs, of which there are so many: 256 a run is certainty. */
static uint32_t scores_of(const keyword_spotter *spotter, int label, uint32_t runs)
{
    uint32_t sum = 0;
    for (uint32_t back = 1; back <= runs; ++back) {
        sum += spotter->history[(spotter->runs - back) % KEYWORD_SMOOTH][label];
    }
    return sum;
}

static int decide(keyword_spotter *spotter)
{
    const uint32_t certain = 256u * KEYWORD_SMOOTH;
    if (spotter->runs < KEYWORD_FULL_RUNS) {
        spotter->quiet_run = spotter->runs;
        return -1;
    }
    uint32_t said = 0;
    for (int label = 0; label < KEYWORD_COUNT; ++label) {
        said += scores_of(spotter, label, KEYWORD_SMOOTH);
    }
    if (said * 100u < KEYWORD_RELEASE_PERCENT * certain) {
        spotter->quiet_run = spotter->runs;
    }
    const int rising = spotter->runs - spotter->quiet_run <= KEYWORD_PATIENCE_RUNS;
    const int rested =
        spotter->reported_run == 0 || spotter->runs - spotter->reported_run >= KEYWORD_REFRACTORY_RUNS;
    if (spotter->due_run == 0 && said * 100u >= KEYWORD_THRESHOLD_PERCENT * certain && rising && rested) {
        spotter->due_run = spotter->runs + KEYWORD_SETTLE_RUNS;
    }
    if (spotter->due_run != spotter->runs) {
        return -1;
    }
    spotter->due_run = 0;
    spotter->reported_run = spotter->runs;
    int best = 0;
    for (int label = 1; label < KEYWORD_COUNT; ++label) {
        if (scores_of(spotter, label, KEYWORD_DECIDE_RUNS) > scores_of(spotter, best, KEYWORD_DECIDE_RUNS)) {
            best = label;
        }
    }
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
