#include "netproxy/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/option.h"
#include "base/text.h"

const char options_help[] =
        "Usage: skiff-netproxy [OPTION]...\n"
        "Route Services to their endpoints on this node, by nftables.\n\n"
        "      --config FILE             KubeProxyConfiguration (YAML or JSON)\n"
        "      --hostname-override NAME  name of the node; default: of the configuration, then the host's\n"
        "      --run-dir DIR             has its socket, and names this instance's tables (/run/skiff)\n"
        "      --pod-routes WHEN         routes to other nodes' pods, and masquerade of what pods send out\n"
        "                                of the cluster: on, off, or auto: unless a CNI plugin does that\n"
        "      --cni-dir DIR             where CNI plugins are configured (/etc/cni/net.d)\n"
        "      --log-level LEVEL         debug, info, warning or error (info)\n"
        "      --cleanup                 take away all tables and routes of this instance and exit\n"
        "      --version                 print the version and exit\n"
        "      --help                    print this and exit\n";

enum option_id {
        OPT_CONFIG = OPTION_FIRST,
        OPT_HOSTNAME,
        OPT_RUN_DIR,
        OPT_POD_ROUTES,
        OPT_CNI_DIR,
        OPT_LOG_LEVEL,
        OPT_CLEANUP,
        OPT_VERSION,
        OPT_HELP,
};

static const struct option long_options[] = {
        { "config", required_argument, NULL, OPT_CONFIG },
        { "hostname-override", required_argument, NULL, OPT_HOSTNAME },
        { "run-dir", required_argument, NULL, OPT_RUN_DIR },
        { "pod-routes", required_argument, NULL, OPT_POD_ROUTES },
        { "cni-dir", required_argument, NULL, OPT_CNI_DIR },
        { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
        { "cleanup", no_argument, NULL, OPT_CLEANUP },
        { "version", no_argument, NULL, OPT_VERSION },
        { "help", no_argument, NULL, OPT_HELP },
        {}
};

void options_done(struct options *o)
{
        free(o->config);
        free(o->hostname_override);
        free(o->run_dir);
        free(o->cni_dir);
        *o = (struct options){ 0 };
}

static int set_pod_routes(struct options *o, const char *value, struct err *err)
{
        static const char *const names[] = { "auto", "on", "off" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                if (streq(value, names[i])) {
                        o->pod_routes = (enum pod_routes)i;
                        return 0;
                }
        }
        return option_bad(err, "pod-routes", value, "on, off or auto");
}

static int take(int id, const char *name, const char *value, void *userdata, struct err *err)
{
        struct options *o = userdata;

        switch (id) {
        case OPT_CONFIG:
                return option_set_text(&o->config, name, value, err);
        case OPT_HOSTNAME:
                return option_set_text(&o->hostname_override, name, value, err);
        case OPT_RUN_DIR:
                return option_set_path(&o->run_dir, name, value, err);
        case OPT_POD_ROUTES:
                return set_pod_routes(o, value, err);
        case OPT_CNI_DIR:
                return option_set_path(&o->cni_dir, name, value, err);
        case OPT_LOG_LEVEL:
                return option_set_log_level(&o->log_level, name, value, err);
        case OPT_CLEANUP:
                o->cleanup = true;
                return 0;
        case OPT_VERSION:
                o->show_version = true;
                return 0;
        case OPT_HELP:
                o->show_help = true;
                return 0;
        }
        return 0;
}

int options_parse(int argc, char *const argv[], struct options *ret, struct err *err)
{
        *ret = (struct options){ .log_level = LOG_INFO };
        ret->run_dir = strdup(RUN_DIR_DEFAULT);
        ret->cni_dir = strdup("/etc/cni/net.d");
        if (!ret->run_dir || !ret->cni_dir)
                return err_sys(err, -ENOMEM, "read the options");
        return option_parse(argc, argv, long_options, take, ret, err);
}

char *options_table_name(const struct options *o)
{
        char id[RUN_DIR_ID_MAX];

        run_dir_id(o->run_dir, id);
        return text_printf("skiff-proxy%s%s", id[0] ? "-" : "", id);
}
