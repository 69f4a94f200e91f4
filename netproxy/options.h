/* The command line of skiff-netproxy. Pure. */
#pragma once
#include "base/err.h"
#include "netproxy/sync.h"

struct options {
        char *config, *hostname_override, *run_dir, *cni_dir; /* owned; config: NULL when absent */
        enum pod_routes pod_routes;
        int log_level;
        bool cleanup, show_version, show_help;
};
extern const char options_help[];
/* -EINVAL and the sentence in @err; options_done() also then. */
int options_parse(int argc, char *const argv[], struct options *ret, struct err *err);
void options_done(struct options *o);
/* "skiff-proxy", and with the instance's id for another run directory than /run/skiff. Owned. */
char *options_table_name(const struct options *o);
