/* Keywords from a stream of sound: PCM in, label out. The decisions are those of ../spotter.py. */
#ifndef KEYWORD_H
#define KEYWORD_H

#include "digits.h"
#include "digits_frontend.h"

#define KEYWORD_LABELS DIGITS_OUTPUT_ELEMENTS
#define KEYWORD_STEP (DIGITS_FRONTEND_SAMPLE_RATE * 60 / 1000) /* samples between two runs of the model */
#define KEYWORD_FULL_RUNS 17         /* until the model's window is full of sound */
#define KEYWORD_SMOOTH 4             /* runs whose scores are averaged */
#define KEYWORD_THRESHOLD_PERCENT 35 /* of all keywords together, at which one was said */
#define KEYWORD_PAUSE_FRAMES 11      /* of nothing but background, and it is decided which one */
#define KEYWORD_SHORTEST_RUNS 1      /* from the threshold until then, at least */
#define KEYWORD_LONGEST_RUNS 7       /* or so long after the threshold, where the sound does not end */
#define KEYWORD_SURE_PERCENT 45      /* of all keywords together, that it takes then for the best to be reported */
#define KEYWORD_RELEASE_PERCENT 20   /* of all keywords together, under which none is being said */
#define KEYWORD_PATIENCE_RUNS 6      /* what takes longer from there to the threshold is not reported */
#define KEYWORD_REFRACTORY_RUNS 16   /* no report for so many runs after a report */
#define KEYWORD_LEARN_FRAMES 49      /* from which the background is learned before anything counts as sound */
#define KEYWORD_COUNT 10             /* the first labels are keywords, the others are not */

/* Tells for how many frames there has been nothing but background. */
typedef struct {
    int32_t floor[DIGITS_FRONTEND_MELS]; /* of each feature, in 4096ths: falls fast, rises slowly */
    int32_t usual;                       /* what the background adds up to above the floors */
    uint32_t seen;
    uint32_t frames;
} keyword_pause;

typedef struct {
    digits_context model;
    digits_frontend sound;
    keyword_pause pause;
    uint8_t history[KEYWORD_SMOOTH][KEYWORD_LABELS];
    uint32_t runs;
    uint32_t quiet_run;    /* the last one in which nothing was being said */
    uint32_t said_run;     /* the one that reached the threshold, of a word not decided yet; 0: none */
    uint32_t reported_run; /* of the last report; 0: none yet */
} keyword_spotter;

/* Start listening. Returns 0, or the model's error. */
int keyword_init(keyword_spotter *spotter);

/* Take KEYWORD_STEP samples. Returns the label that they complete, or -1. */
int keyword_push(keyword_spotter *spotter, const int16_t *pcm);

/* The names of the labels, in the order of the model's scores. */
extern const char *const keyword_names[KEYWORD_LABELS];

#endif
