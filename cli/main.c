/*
 * skiff: see and handle what runs on this node, with or without the API server.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command-line.h"
#include "cli/verb-help.h"

static int run(struct command_line *c, struct err *err)
{
        _cleanup_(client_freep)
        struct client *client = NULL;

        if (!c->verb->is_local &&
            client_new(c->verb->daemon, c->in.values[FLAG_SOCKET], &client, err) < 0)
                return EXIT_FAILED;
        c->in.client = client;
        return c->verb->run(&c->in, err);
}

static int begin(int argc, char *argv[], struct err *err)
{
        _cleanup_(command_line_done)
        struct command_line c = { 0 };
        int r = command_line_parse(argc - 1, argv + 1, &c, err);

        if (r < 0)
                return r == -ENOMEM ? EXIT_FAILED : EXIT_USAGE;
        if (c.help)
                return help_print(c.verb, stdout);
        if (c.version) {
                printf("skiff %s (Kubernetes %s)\n", SKIFF_VERSION, KUBERNETES_VERSION);
                return EXIT_OK;
        }
        if (!c.verb) {
                help_print(NULL, stderr);
                return EXIT_USAGE;
        }
        return run(&c, err);
}

int main(int argc, char *argv[])
{
        _cleanup_err_ struct err err = { 0 };
        int code;

        if (argc == 2 && streq(argv[1], "--man-pages"))
                return help_print_page(NULL);
        if (argc == 3 && streq(argv[1], "--man-page"))
                return help_print_page(argv[2]);
        setlocale(LC_CTYPE, "");
        code = begin(argc, argv, &err);
        if (fflush(stdout) != 0 && code == EXIT_OK) {
                err_sys(&err, -errno, "write the output");
                code = EXIT_FAILED;
        }
        if (err.message)
                fprintf(stderr, "skiff: %s\n", err_text(&err));
        return code;
}
