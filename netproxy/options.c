#include "netproxy/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

const char options_help[] =
        "Usage: skiff-netproxy [OPTION]...\n"
        "Route Services to their endpoints on this node, by nftables.\n\n"
        "      --config FILE             KubeProxyConfiguration (YAML or JSON)\n"
        "      --hostname-override NAME  name of the node; default: of the configuration, then the host's\n"
        "      --run-dir DIR             names this instance's tables (/run/skiff)\n"
        "      --pod-routes WHEN         routes to other nodes' pods, and masquerade of what pods send out\n"
        "                                of the cluster: on, off, or auto: unless a CNI plugin does that\n"
        "      --cni-dir DIR             where CNI plugins are configured (/etc/cni/net.d)\n"
        "      --log-level LEVEL         debug, info, warning or error (info)\n"
        "      --cleanup                 take away all tables and routes of this instance and exit\n"
        "      --version                 print the version and exit\n"
        "      --help                    print this and exit\n";

enum option_id {
        OPT_CONFIG = 256,
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

static int bad(struct err *err, const char *option, const char *value, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "--%s: '%s': expected %s", option, value,
                            rule);
}

static int set_path(char **path, const char *option, const char *value, struct err *err)
{
        size_t n = strlen(value);

        if (value[0] != '/')
                return bad(err, option, value, "an absolute path");
        while (n > 1 && value[n - 1] == '/') /* "/run/skiff/" is the same instance */
                n--;
        free(*path);
        *path = strndup(value, n);
        return *path ? 0 : err_sys(err, -ENOMEM, "--%s", option);
}

static int set_text(char **text, const char *value, struct err *err)
{
        return free_and_strdup(text, value) < 0 ? err_sys(err, -ENOMEM, "read options") : 0;
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
        return bad(err, "pod-routes", value, "on, off or auto");
}

static int set_log_level(struct options *o, const char *value, struct err *err)
{
        int level = log_level_parse(value);

        if (level < 0)
                return bad(err, "log-level", value, "debug, info, warning or error");
        o->log_level = level;
        return 0;
}

static int take_option(struct options *o, int id, const char *value, struct err *err)
{
        switch (id) {
        case OPT_CONFIG:
                return set_text(&o->config, value, err);
        case OPT_HOSTNAME:
                return set_text(&o->hostname_override, value, err);
        case OPT_RUN_DIR:
                return set_path(&o->run_dir, "run-dir", value, err);
        case OPT_POD_ROUTES:
                return set_pod_routes(o, value, err);
        case OPT_CNI_DIR:
                return set_path(&o->cni_dir, "cni-dir", value, err);
        case OPT_LOG_LEVEL:
                return set_log_level(o, value, err);
        case OPT_CLEANUP:
                o->cleanup = true;
                return 0;
        case OPT_VERSION:
                o->show_version = true;
                return 0;
        case OPT_HELP:
                o->show_help = true;
                return 0;
        default:
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "unknown option or missing value; see --help");
        }
}

int options_parse(int argc, char *argv[], struct options *ret, struct err *err)
{
        int id, r = 0;

        *ret = (struct options){ .log_level = LOG_INFO };
        ret->run_dir = strdup("/run/skiff");
        ret->cni_dir = strdup("/etc/cni/net.d");
        if (!ret->run_dir || !ret->cni_dir)
                return err_sys(err, -ENOMEM, "read options");
        opterr = 0;
        optind = 1;
        while (r == 0 && (id = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
                r = take_option(ret, id, optarg, err);
        if (r == 0 && optind < argc)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "'%s': expected options only; see --help", argv[optind]);
        return r;
}

char *options_table_name(const struct options *o)
{
        if (streq(o->run_dir, "/run/skiff"))
                return strdup("skiff-proxy");
        /* skiffd names what it shares by the same digits */
        return text_printf("skiff-proxy-s%06x",
                           (unsigned)(fnv1a(o->run_dir, strlen(o->run_dir), FNV1A_SEED) &
                                      0xffffff));
}
