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

static void pause_push(keyword_pause *pause, const int8_t *features)
{
    int32_t above = 0;
    for (int i = 0; i < DIGITS_FRONTEND_MELS; ++i) {
        const int32_t now = features[i] * 4096;
        if (pause->seen == 0) {
            pause->floor[i] = now;
        }
        const int32_t rise = now - pause->floor[i];
        pause->floor[i] += rise < 0 ? rise >> 3 : rise >> 7;
        above += now > pause->floor[i] ? now - pause->floor[i] : 0;
    }
    const int learning = pause->seen < KEYWORD_LEARN_FRAMES;
    const int loud = !learning && 5 * above > 8 * pause->usual;
    pause->usual += (above - pause->usual) >> (learning ? 4 : loud ? 9 : 5);
    pause->frames = loud ? 0 : pause->frames + 1;
    ++pause->seen;
}

/* Sum of a label's scores in the last runs: 256 a run is certainty. */
static uint32_t scores_of(const keyword_spotter *spotter, int label)
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
    if (spotter->runs < KEYWORD_FULL_RUNS) {
        spotter->quiet_run = spotter->runs;
        return -1;
    }
    uint32_t said = 0;
    for (int label = 0; label < KEYWORD_COUNT; ++label) {
        said += scores_of(spotter, label);
    }
    if (said * 100u < KEYWORD_RELEASE_PERCENT * certain) {
        spotter->quiet_run = spotter->runs;
    }
    const int rising = spotter->runs - spotter->quiet_run <= KEYWORD_PATIENCE_RUNS;
    const int rested =
        spotter->reported_run == 0 || spotter->runs - spotter->reported_run >= KEYWORD_REFRACTORY_RUNS;
    if (spotter->said_run == 0 && said * 100u >= KEYWORD_THRESHOLD_PERCENT * certain && rising && rested) {
        spotter->said_run = spotter->runs;
    }
    if (spotter->said_run == 0) {
        return -1;
    }
    const uint32_t waited = spotter->runs - spotter->said_run;
    if (spotter->pause.frames < KEYWORD_PAUSE_FRAMES && waited < KEYWORD_LONGEST_RUNS) {
        return -1;
    }
    /* Until a sound has been told from the background, nobody knows when a word was over. */
    const uint32_t shortest = spotter->pause.frames < spotter->pause.seen ? KEYWORD_SHORTEST_RUNS : 0;
    spotter->said_run = 0;
    if (said * 100u < KEYWORD_SURE_PERCENT * certain || waited < shortest) {
        return -1;
    }
    int best = 0;
    for (int label = 1; label < KEYWORD_COUNT; ++label) {
        if (scores_of(spotter, label) > scores_of(spotter, best)) {
            best = label;
        }
    }
    spotter->reported_run = spotter->runs;
    return best;
}

int keyword_push(keyword_spotter *spotter, const int16_t *pcm)
{
    for (size_t at = 0; at < KEYWORD_STEP;) {
        int completed;
        at += digits_frontend_push(&spotter->sound, pcm + at, KEYWORD_STEP - at, &completed);
        if (completed) {
            pause_push(&spotter->pause,
                       &spotter->sound.features[(DIGITS_FRONTEND_FRAMES - 1) * DIGITS_FRONTEND_MELS]);
        }
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
