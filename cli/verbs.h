/*
 * The verbs of `skiff`: one table that makes the help, too. Each verb gets its words and flags
 * parsed.
 */
#pragma once
#include "cli/client.h"
#include "cli/output.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct invocation {
        struct client *client;
        enum output_format format;
        bool no_headers, follow, previous, timestamps;
        const char *namespace, *container, *tail, *since, *name; /* NULL when not given */
        char *const *words; /* after the verb; NULL-terminated */
        size_t n_words;
};
struct verb {
        const char *name, *arguments, *help;
        size_t min_words, max_words;
        /* Returns the exit code; @err holds the sentence for EXIT_FAILED and EXIT_USAGE. */
        int (*run)(struct invocation *in, struct err *err);
};
extern const struct verb verbs[]; /* ends with a NULL name */

/* The pod that a word means: "ns/name", "name", or a unique prefix. New reference to its v1.Pod
 * from the list; NULL with a sentence. */
json_t *find_pod(struct invocation *in, const char *word, struct err *err);
/* READY, STATUS and RESTARTS of a v1.Pod as kubectl shows them. Pure. @reason: at least 64 bytes.
 */
void pod_summary(const json_t *pod, char ready[static 16], char reason[static 64],
                 char restarts[static 64], usec_t now);

int verb_pods(struct invocation *in, struct err *err);
int verb_pod(struct invocation *in, struct err *err);
int verb_logs(struct invocation *in, struct err *err);
int verb_exec(struct invocation *in, struct err *err);
int verb_images(struct invocation *in, struct err *err);
int verb_image(struct invocation *in, struct err *err);
int verb_node(struct invocation *in, struct err *err);
int verb_events(struct invocation *in, struct err *err);
