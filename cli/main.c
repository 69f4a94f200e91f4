/*
 * skiff: see and handle what runs on this node, with or without the API server.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/verbs.h"

const struct verb verbs[] = {
        { "pods", "", "list the pods of this node", 0, 0, verb_pods },
        { "pod", "POD", "one pod: containers, states, reasons, conditions", 1, 1, verb_pod },
        { "logs", "POD [CONTAINER]", "what a container has written", 1, 2, verb_logs },
        { "exec", "POD -- COMMAND [ARG]...", "run a command in a container", 2, 4096, verb_exec },
        { "images", "", "list the images of this node", 0, 0, verb_images },
        { "image", "pull NAME | import FILE [NAME] | rm NAME", "fetch, bring in or remove an image",
          2, 3, verb_image },
        { "node", "", "what this node is and how it is connected", 0, 0, verb_node },
        { "events", "", "the newest events of this node", 0, 0, verb_events },
        {}
};

static void print_help(FILE *f)
{
        fprintf(f, "Usage: skiff [OPTION]... VERB [WORD]...\n\n");
        for (const struct verb *v = verbs; v->name; v++) {
                char left[64];

                snprintf(left, sizeof left, "%s %s", v->name, v->arguments);
                fprintf(f, "  %-48s %s\n", left, v->help);
        }
        fprintf(f,
                "\nOptions:\n"
                "  -n, --namespace NS       only this namespace\n"
                "  -o, --output FORMAT      json, yaml, wide or name\n"
                "  -c, --container NAME     logs, exec: this container instead of the pod's first\n"
                "  -f, --follow             logs: go on while the container writes\n"
                "  -p, --previous           logs: of the run before the last restart\n"
                "      --tail N             logs: the last N lines; -1: all\n"
                "      --since DURATION     logs: what is newer, such as 5m or 1h30m\n"
                "      --timestamps         logs: each line begins with its time\n"
                "      --no-headers         tables without headings\n"
                "      --socket PATH        skiffd's socket ($SKIFF_SOCKET, /run/skiff/skiff.sock)\n"
                "  -h, --help\n"
                "      --version\n\n"
                "A POD is NAMESPACE/NAME, NAME, or a unique beginning of either.\n"
                "Exit code: 0 fine, 1 failed, 2 wrong usage; exec: the command's own.\n");
}

enum { OPT_NO_HEADERS = 256, OPT_SOCKET, OPT_VERSION, OPT_TAIL, OPT_SINCE, OPT_TIMESTAMPS };
static const struct option long_options[] = { { "namespace", required_argument, NULL, 'n' },
                                              { "output", required_argument, NULL, 'o' },
                                              { "container", required_argument, NULL, 'c' },
                                              { "follow", no_argument, NULL, 'f' },
                                              { "previous", no_argument, NULL, 'p' },
                                              { "tail", required_argument, NULL, OPT_TAIL },
                                              { "since", required_argument, NULL, OPT_SINCE },
                                              { "timestamps", no_argument, NULL, OPT_TIMESTAMPS },
                                              { "no-headers", no_argument, NULL, OPT_NO_HEADERS },
                                              { "socket", required_argument, NULL, OPT_SOCKET },
                                              { "help", no_argument, NULL, 'h' },
                                              { "version", no_argument, NULL, OPT_VERSION },
                                              {} };

/* getopt's '?' and ':'. @word: as it was typed. */
static int refuse_option(int id, const char *word, struct err *err)
{
        if (id == ':')
                return err_set(err, -EINVAL, "option '%s': expected a value behind it", word);
        if (optopt == 'i' || optopt == 't')
                return err_set(err, -EINVAL,
                               "option '-%c': there is no standard input or terminal for a command "
                               "yet: leave it away",
                               optopt);
        return err_set(err, -EINVAL, "option '%s': unknown or ambiguous, see 'skiff --help'", word);
}

/* Words may stand before, between and behind options, up to "--". */
static int take_option(int id, struct invocation *in, const char **socket, struct err *err)
{
        switch (id) {
        case 'n':
                in->namespace = optarg;
                return 0;
        case 'o':
                if (output_format_parse(optarg, &in->format) < 0)
                        return err_set(err, -EINVAL,
                                       "--output: '%s': expected json, yaml, wide or name", optarg);
                return 0;
        case 'c':
                in->container = optarg;
                return 0;
        case 'f':
                in->follow = true;
                return 0;
        case 'p':
                in->previous = true;
                return 0;
        case OPT_TAIL:
                in->tail = optarg;
                return 0;
        case OPT_SINCE:
                in->since = optarg;
                return 0;
        case OPT_TIMESTAMPS:
                in->timestamps = true;
                return 0;
        case OPT_NO_HEADERS:
                in->no_headers = true;
                return 0;
        case OPT_SOCKET:
                *socket = optarg;
                return 0;
        default:
                return -EINVAL;
        }
}

static const struct verb *find_verb(const char *name)
{
        for (const struct verb *v = verbs; v->name; v++)
                if (streq(v->name, name))
                        return v;
        return NULL;
}

static int run(const struct verb *v, struct invocation *in, const char *socket, struct err *err)
{
        _cleanup_(client_freep)
        struct client *client = NULL;

        if (in->n_words < v->min_words || in->n_words > v->max_words) {
                err_set(err, -EINVAL, "usage: skiff %s%s%s", v->name, *v->arguments ? " " : "",
                        v->arguments);
                return EXIT_USAGE;
        }
        if (client_new(socket, &client, err) < 0)
                return EXIT_FAILED;
        in->client = client;
        return v->run(in, err);
}

int main(int argc, char *argv[])
{
        struct invocation in = { .format = OUTPUT_TABLE };
        _cleanup_err_ struct err err = { 0 };
        const char *socket = NULL;
        const struct verb *v;
        int id, code;

        opterr = 0;
        while ((id = getopt_long(argc, argv, ":n:o:c:fph", long_options, NULL)) >= 0) {
                if (id == 'h') {
                        print_help(stdout);
                        return EXIT_OK;
                }
                if (id == OPT_VERSION) {
                        printf("skiff %s (Kubernetes %s)\n", SKIFF_VERSION, KUBERNETES_VERSION);
                        return EXIT_OK;
                }
                if (id == '?' || id == ':' ? refuse_option(id, argv[optind - 1], &err) < 0
                                           : take_option(id, &in, &socket, &err) < 0) {
                        fprintf(stderr, "skiff: %s\n", err_text(&err));
                        return EXIT_USAGE;
                }
        }
        if (optind == argc) {
                print_help(stderr);
                return EXIT_USAGE;
        }
        if (streq(argv[optind], "help")) {
                print_help(stdout);
                return EXIT_OK;
        }
        v = find_verb(argv[optind]);
        if (!v) {
                fprintf(stderr, "skiff: unknown verb '%s', see 'skiff --help'\n", argv[optind]);
                return EXIT_USAGE;
        }
        in.words = argv + optind + 1;
        in.n_words = (size_t)(argc - optind - 1);
        code = run(v, &in, socket, &err);
        if (fflush(stdout) != 0 && code == EXIT_OK) {
                err_sys(&err, -errno, "write the output");
                code = EXIT_FAILED;
        }
        if (err.message)
                fprintf(stderr, "skiff: %s\n", err_text(&err));
        return code;
}
