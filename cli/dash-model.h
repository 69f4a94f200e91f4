/*
 * What `skiff dash` shows: rows of pods and containers out of skiffd's answers, what keys make of
 * them, and a screen of cells out of it all. Pure.
 */
#pragma once
#include <jansson.h>

#include "base/text.h"
#include "base/usec.h"
#include "cli/output.h"

enum { DASH_HISTORY = 30, DASH_FILTER_MAX = 63, DASH_EVENTS = 50 };

struct dash_row {
        char *key;             /* owned: "ns/pod" or "ns/pod/container" */
        bool is_pod, is_shown; /* shown: the filter lets it through */
        char ready[16], status[64], restarts[64], age[32];
        enum colour colour;
        int64_t cpu_milli, memory;       /* -1: not known */
        int64_t cpu_limit, memory_limit; /* its own, or else the node's; 0: not known */
        uint16_t history[DASH_HISTORY];  /* CPU, thousandths of the limit; the newest last */
        size_t n_history;
};
struct dash_event {
        char *text; /* owned */
        bool is_warning;
};
struct dash_model {
        struct dash_row *rows; /* owned; a pod, then its containers */
        size_t n_rows;
        struct dash_event events[DASH_EVENTS]; /* the newest first */
        size_t n_events;
        char *node, *trouble; /* owned; trouble NULL: skiffd answers */
        char *selected;       /* owned: a key; NULL: none */
        char filter[DASH_FILTER_MAX + 1];
        bool is_filtering, shows_help, hides_containers;
        int64_t node_cpu_milli, node_memory; /* capacity; 0: not known */
};
void dash_model_done(struct dash_model *m);
/**
 * dash_model_update() - skiffd's newest answers
 * @pods, @stats, @events, @node: of /v1/pods, /v1/stats, /v1/events, /v1/node; borrowed, any may be
 *                                NULL
 * Histories and the selection stay with what they belong to. 0 or -ENOMEM, and then the model is as
 * it was.
 */
int dash_model_update(struct dash_model *m, const json_t *pods, const json_t *stats,
                      const json_t *events, const json_t *node, usec_t now);
/* skiffd does not answer: what was last known stays. NULL: it does. */
void dash_model_trouble(struct dash_model *m, const char *sentence);

enum {
        DASH_KEY_UP = 0x110000,
        DASH_KEY_DOWN,
        DASH_KEY_PAGE_UP,
        DASH_KEY_PAGE_DOWN,
        DASH_KEY_HOME,
        DASH_KEY_END,
        DASH_KEY_BACKSPACE
}; /* beyond Unicode */
enum dash_action {
        DASH_NOTHING,
        DASH_QUIT,
        DASH_LOGS,
        DASH_SHELL,
        DASH_EXPLAIN,
        DASH_TIMELINE,
};
/* What a key does to the model, and what else is to be done about the selected row. */
enum dash_action dash_model_key(struct dash_model *m, uint32_t key);
/* The selected row; NULL: none. */
const struct dash_row *dash_model_selected(const struct dash_model *m);

struct dash_cell {
        uint32_t symbol; /* Unicode */
        uint8_t colour;  /* enum colour */
        bool is_bold, is_reverse;
};
struct dash_screen {
        size_t width, height;
        struct dash_cell *cells; /* owned; height rows of width */
};
void dash_screen_done(struct dash_screen *s);
/* Fits any size from 1 by 1. @is_utf8: blocks for bars and curves. 0 or -ENOMEM. */
int dash_layout(const struct dash_model *m, size_t width, size_t height, bool is_utf8,
                struct dash_screen *ret);
