/*
 * The terminal under a dash_screen: ncurses. Draws the cells that differ from what is there.
 */
#pragma once
#include "cli/dash-model.h"

struct dash_terminal; /* opaque */

/* Takes the terminal over; -ENOTTY with the sentence when it cannot be drawn on. */
int dash_terminal_new(struct dash_terminal **ret, struct err *err);
struct dash_terminal *dash_terminal_free(struct dash_terminal *t); /* gives it back */
DEFINE_CLEANUP(struct dash_terminal *, dash_terminal_free)
int dash_terminal_draw(struct dash_terminal *t, const struct dash_model *m);
/* Waits for a key so long; 0: none came, or the size is another one now. */
uint32_t dash_terminal_key(struct dash_terminal *t, int wait_msec);
/* As it was before, for another program; then ours again. */
void dash_terminal_leave(struct dash_terminal *t);
void dash_terminal_return(struct dash_terminal *t);
