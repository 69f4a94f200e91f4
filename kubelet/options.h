/*
 * skiffd's command line. Words are the kubelet's where it has them; ours are documented in README.
 */
#pragma once
#include "base/json.h"

struct options {
        char *config, *kubeconfig, *bootstrap_kubeconfig, *hostname_override, *node_ip,
                *cert_dir; /* NULL when not given; owned */
        char *root_dir, *run_dir, *state_dir, *pod_log_dir, *container_log_dir, *libexec_dir,
                *registries; /* owned, defaulted */
        struct string_map node_labels;
        char **given; /* names of those on the command line; owned */
        int log_level;
        bool show_version, show_help;
};
void options_done(struct options *o);
/* -EINVAL with the option, its value and the rule. @ret is to be freed in both cases. */
int options_parse(int argc, char *const argv[], struct options *ret, struct err *err);
extern const char options_help[];
