/*
 * The verbs of `skiff`: one table from which usage, --help, man pages and shell completion are
 * made. Each verb gets its words and the values of its flags parsed.
 */
#pragma once
#include "cli/client.h"
#include "cli/output.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum flag_id { /* in the order in which help shows them */
               FLAG_NAMESPACE,
               FLAG_OUTPUT,
               FLAG_WATCH,
               FLAG_NO_HEADERS,
               FLAG_CONTAINER,
               FLAG_STDIN,
               FLAG_TTY,
               FLAG_FOLLOW,
               FLAG_FILENAME,
               FLAG_PREVIOUS,
               FLAG_TAIL,
               FLAG_SINCE,
               FLAG_TIMESTAMPS,
               FLAG_NO_PRESERVE,
               FLAG_ADDRESS,
               FLAG_SOCKET,
               FLAG_HELP,
               FLAG_VERSION,
               _FLAG_MAX
};
#define FLAG(id) (UINT32_C(1) << FLAG_##id)
/* What every verb takes, and what may stand before the verb, too. */
#define FLAGS_ALWAYS (FLAG(SOCKET) | FLAG(HELP))
#define FLAGS_LIST   (FLAG(OUTPUT) | FLAG(WATCH) | FLAG(NO_HEADERS))
#define FLAGS_BEFORE                                                                        \
        (FLAGS_ALWAYS | FLAG(VERSION) | FLAG(NAMESPACE) | FLAG(OUTPUT) | FLAG(NO_HEADERS) | \
         FLAG(CONTAINER))

struct flag {
        char letter;       /* 0: none */
        const char *name;  /* "namespace" */
        const char *value; /* what help calls its value; NULL: it takes none */
        const char *help;
};
extern const struct flag flags[_FLAG_MAX];

/* What a verb's words are: completion asks for their names. */
enum word_kind {
        WORD_NONE,
        WORD_POD,
        WORD_IMAGE,
        WORD_SERVICE,
        WORD_FILE,
        WORD_VERB,
        WORD_SHELL,
};

struct invocation {
        struct client *client;
        enum output_format format;
        const char *values[_FLAG_MAX]; /* NULL: not given; "" for a flag without value */
        const char *namespace;         /* values[FLAG_NAMESPACE] */
        char *const *words;            /* after the verb; NULL-terminated */
        size_t n_words;
};
static inline bool has_flag(const struct invocation *in, enum flag_id id)
{
        return in->values[id] != NULL;
}

struct verb {
        const char *name;        /* "pods", "image pull" */
        const char *arguments;   /* "POD [CONTAINER]" */
        const char *help;        /* one line */
        const char *description; /* paragraphs, an empty line between them; NULL: none */
        struct {
                const char *command, *what;
        } examples[4];          /* ends early with a NULL command */
        const char *exit_codes; /* beyond the usual ones; NULL */
        uint32_t flags;         /* beyond FLAGS_ALWAYS */
        size_t min_words, max_words;
        enum word_kind words;
        enum client_daemon daemon; /* whom it asks */
        bool is_local;             /* needs no daemon */
        bool has_svg;              /* --output svg is one, too */
        /* Returns the exit code; @err holds the sentence for EXIT_FAILED and EXIT_USAGE. */
        int (*run)(struct invocation *in, struct err *err);
};
extern const struct verb verbs[]; /* ends with a NULL name */
/* By its whole name, "image pull"; NULL. Pure. */
const struct verb *verb_find(const char *name);

/* The pod that a word means: "ns/name", "name", or a unique prefix; a third part is the container
 * (its name, or a unique prefix of it). New reference to its v1.Pod from the list; NULL with a
 * sentence. @ret_container: may be NULL, and then there is no third part; else NULL when the word
 * names none, owned. */
json_t *find_pod(struct invocation *in, const char *word, char **ret_container, struct err *err);
/* The same, and the answer of /v1/pods/NS/NAME about it. New reference. */
json_t *get_pod(struct invocation *in, const char *word, struct err *err);
/* Of a v1.Pod: which container of the spec a name, or a unique prefix of it, means. Borrowed. */
const char *find_container(const json_t *pod, const char *word, struct err *err);
/* READY, STATUS and RESTARTS of a v1.Pod as kubectl shows them. Pure. @reason: at least 64 bytes.
 */
void pod_summary(const json_t *pod, char ready[static 16], char reason[static 64],
                 char restarts[static 64], usec_t now);
/* How a word of pod_summary() looks. Pure. */
enum colour status_colour(const char *reason);
/* A string below two keys; "" when there is none. Borrowed. */
const char *text_in(const json_t *o, const char *a, const char *b);
/* CLOCK_REALTIME of a time; 0: none. */
usec_t time_at(const json_t *o, const char *key);

int verb_attach(struct invocation *in, struct err *err);
int verb_completion(struct invocation *in, struct err *err);
int verb_config(struct invocation *in, struct err *err);
int verb_containers(struct invocation *in, struct err *err);
int verb_cp(struct invocation *in, struct err *err);
int verb_dash(struct invocation *in, struct err *err);
int verb_doctor(struct invocation *in, struct err *err);
int verb_explain(struct invocation *in, struct err *err);
int verb_events(struct invocation *in, struct err *err);
int verb_exec(struct invocation *in, struct err *err);
int verb_help(struct invocation *in, struct err *err);
int verb_image_export(struct invocation *in, struct err *err);
int verb_image_import(struct invocation *in, struct err *err);
int verb_image_prune(struct invocation *in, struct err *err);
int verb_image_pull(struct invocation *in, struct err *err);
int verb_image_rm(struct invocation *in, struct err *err);
int verb_image_verify(struct invocation *in, struct err *err);
int verb_images(struct invocation *in, struct err *err);
int verb_inspect(struct invocation *in, struct err *err);
int verb_logs(struct invocation *in, struct err *err);
int verb_node(struct invocation *in, struct err *err);
int verb_plan(struct invocation *in, struct err *err);
int verb_pod(struct invocation *in, struct err *err);
int verb_pods(struct invocation *in, struct err *err);
int verb_port_forward(struct invocation *in, struct err *err);
int verb_restart(struct invocation *in, struct err *err);
int verb_service(struct invocation *in, struct err *err);
int verb_services(struct invocation *in, struct err *err);
int verb_stats(struct invocation *in, struct err *err);
int verb_status(struct invocation *in, struct err *err);
int verb_stop(struct invocation *in, struct err *err);
int verb_support(struct invocation *in, struct err *err);
int verb_timeline(struct invocation *in, struct err *err);
int verb_top(struct invocation *in, struct err *err);
int verb_trace(struct invocation *in, struct err *err);
int verb_version(struct invocation *in, struct err *err);
