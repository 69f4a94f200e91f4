#include "kubelet/options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <syslog.h>

#include "base/log.h"
#include "base/text.h"

const char options_help[] =
        "Usage: skiffd [OPTION]...\n"
        "Run the pods that are assigned to this node.\n\n"
        "      --config FILE             KubeletConfiguration (YAML or JSON)\n"
        "      --kubeconfig FILE         how to reach the API server; without it the node stands alone\n"
        "      --hostname-override NAME  name of the node; default: the host's name\n"
        "      --node-ip IP              address of the node; default: of the interface with the default route\n"
        "      --node-labels K=V,...     labels of the Node object at registration\n"
        "      --root-dir DIR            pods' volumes and files (/var/lib/kubelet)\n"
        "      --run-dir DIR             lock, sockets, caches (/run/skiff)\n"
        "      --state-dir DIR           images and records (/var/lib/skiff)\n"
        "      --pod-log-dir DIR         container logs (podLogsDir of the configuration)\n"
        "      --container-log-dir DIR   links to them (/var/log/containers)\n"
        "      --libexec-dir DIR         where skiff-shim and skiff-image are (" SKIFF_LIBEXEC_DIR
        ")\n"
        "      --registries FILE         mirrors and credentials of registries (/etc/skiff/registries.yaml)\n"
        "      --log-level LEVEL         debug, info, warning or error (info)\n"
        "      --version                 print the version and exit\n"
        "      --help                    print this and exit\n";

enum option_id {
        OPT_CONFIG = 256,
        OPT_KUBECONFIG,
        OPT_HOSTNAME,
        OPT_NODE_IP,
        OPT_NODE_LABELS,
        OPT_ROOT_DIR,
        OPT_RUN_DIR,
        OPT_STATE_DIR,
        OPT_POD_LOG_DIR,
        OPT_CONTAINER_LOG_DIR,
        OPT_LIBEXEC_DIR,
        OPT_REGISTRIES,
        OPT_LOG_LEVEL,
        OPT_VERSION,
        OPT_HELP,
};

static const struct option long_options[] = {
        { "config", required_argument, NULL, OPT_CONFIG },
        { "kubeconfig", required_argument, NULL, OPT_KUBECONFIG },
        { "hostname-override", required_argument, NULL, OPT_HOSTNAME },
        { "node-ip", required_argument, NULL, OPT_NODE_IP },
        { "node-labels", required_argument, NULL, OPT_NODE_LABELS },
        { "root-dir", required_argument, NULL, OPT_ROOT_DIR },
        { "run-dir", required_argument, NULL, OPT_RUN_DIR },
        { "state-dir", required_argument, NULL, OPT_STATE_DIR },
        { "pod-log-dir", required_argument, NULL, OPT_POD_LOG_DIR },
        { "container-log-dir", required_argument, NULL, OPT_CONTAINER_LOG_DIR },
        { "libexec-dir", required_argument, NULL, OPT_LIBEXEC_DIR },
        { "registries", required_argument, NULL, OPT_REGISTRIES },
        { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
        { "version", no_argument, NULL, OPT_VERSION },
        { "help", no_argument, NULL, OPT_HELP },
        {}
};

void options_done(struct options *o)
{
        free(o->config);
        free(o->kubeconfig);
        free(o->hostname_override);
        free(o->node_ip);
        free(o->root_dir);
        free(o->run_dir);
        free(o->state_dir);
        free(o->pod_log_dir);
        free(o->container_log_dir);
        free(o->libexec_dir);
        free(o->registries);
        string_map_done(&o->node_labels);
        *o = (struct options){ 0 };
}

/* "a=b,c=d" through a tree, which sorts and owns it. */
static int parse_labels(const char *text, struct string_map *ret, struct err *err)
{
        _cleanup_strv_ char **pairs = NULL;
        json_auto_t *o = json_object();
        int r = strv_split(text, ",", &pairs);

        if (r < 0)
                return r;
        STRV_FOREACH (pair, pairs) {
                char *equals = strchr(*pair, '=');

                if (!equals || equals == *pair)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "--node-labels: '%s': expected KEY=VALUE", *pair);
                *equals = '\0';
                json_set_text(o, *pair, equals + 1);
        }
        return decode_string_map(o, ret, NULL, err);
}

static int set_path(char **member, const char *option, const char *value, struct err *err)
{
        if (value[0] != '/')
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "--%s: '%s': expected an absolute path", option, value);
        return free_and_strdup(member, value);
}

static int take(struct options *o, int id, const char *name, const char *value, struct err *err)
{
        switch (id) {
        case OPT_CONFIG:
                return free_and_strdup(&o->config, value);
        case OPT_KUBECONFIG:
                return free_and_strdup(&o->kubeconfig, value);
        case OPT_HOSTNAME:
                return free_and_strdup(&o->hostname_override, value);
        case OPT_NODE_IP:
                return free_and_strdup(&o->node_ip, value);
        case OPT_NODE_LABELS:
                return parse_labels(value, &o->node_labels, err);
        case OPT_ROOT_DIR:
                return set_path(&o->root_dir, name, value, err);
        case OPT_RUN_DIR:
                return set_path(&o->run_dir, name, value, err);
        case OPT_STATE_DIR:
                return set_path(&o->state_dir, name, value, err);
        case OPT_POD_LOG_DIR:
                return set_path(&o->pod_log_dir, name, value, err);
        case OPT_CONTAINER_LOG_DIR:
                return set_path(&o->container_log_dir, name, value, err);
        case OPT_LIBEXEC_DIR:
                return set_path(&o->libexec_dir, name, value, err);
        case OPT_REGISTRIES:
                return set_path(&o->registries, name, value, err);
        case OPT_LOG_LEVEL:
                o->log_level = log_level_parse(value);
                return o->log_level < 0
                               ? err_set_kind(
                                         err, -EINVAL, ERR_BAD_INPUT,
                                         "--log-level: '%s': expected debug, info, warning or error",
                                         value)
                               : 0;
        case OPT_VERSION:
                o->show_version = true;
                return 0;
        case OPT_HELP:
                o->show_help = true;
                return 0;
        default:
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "see --help");
        }
}

static int set_defaults(struct options *o)
{
        o->log_level = LOG_INFO;
        o->root_dir = strdup("/var/lib/kubelet");
        o->run_dir = strdup("/run/skiff");
        o->state_dir = strdup("/var/lib/skiff");
        o->container_log_dir = strdup("/var/log/containers");
        o->libexec_dir = strdup(SKIFF_LIBEXEC_DIR);
        o->registries = strdup("/etc/skiff/registries.yaml");
        return o->root_dir && o->run_dir && o->state_dir && o->container_log_dir &&
                               o->libexec_dir && o->registries
                       ? 0
                       : -ENOMEM;
}

int options_parse(int argc, char *const argv[], struct options *ret, struct err *err)
{
        int id, index, r;

        *ret = (struct options){ 0 };
        r = set_defaults(ret);
        opterr = 0;
        optind = 0;
        while (r == 0 && (id = getopt_long(argc, argv, "", long_options, &index)) >= 0) {
                if (id == '?')
                        return err_set_kind(
                                err, -EINVAL, ERR_BAD_INPUT,
                                "'%s': expected one of the options of --help, with its value",
                                argv[MIN(optind, argc) - 1]);
                r = take(ret, id, long_options[index].name, optarg, err);
        }
        if (r == 0 && optind < argc)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%s': expected no further words",
                                    argv[optind]);
        return r == -ENOMEM ? err_sys(err, r, "read the options") : r;
}
