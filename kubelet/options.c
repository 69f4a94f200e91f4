#include "kubelet/options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <syslog.h>

#include "base/option.h"
#include "base/text.h"

const char options_help[] =
        "Usage: skiffd [OPTION]...\n"
        "Run the pods that are assigned to this node.\n\n"
        "      --config FILE             KubeletConfiguration (YAML or JSON)\n"
        "      --kubeconfig FILE         how to reach the API server; without it the node stands alone\n"
        "      --bootstrap-kubeconfig FILE  the same with rights to ask for a client certificate alone; used, and\n"
        "                                --kubeconfig written, when that holds no valid one\n"
        "      --cert-dir DIR            certificates that were asked for (ROOT_DIR/pki)\n"
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
        OPT_CONFIG = OPTION_FIRST,
        OPT_KUBECONFIG,
        OPT_BOOTSTRAP_KUBECONFIG,
        OPT_CERT_DIR,
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
        { "bootstrap-kubeconfig", required_argument, NULL, OPT_BOOTSTRAP_KUBECONFIG },
        { "cert-dir", required_argument, NULL, OPT_CERT_DIR },
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
        free(o->bootstrap_kubeconfig);
        free(o->cert_dir);
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
        strv_free(o->given);
        *o = (struct options){ 0 };
}

/* "a=b,c=d" through a tree, which sorts and owns it. */
static int parse_labels(const char *text, struct string_map *ret, struct err *err)
{
        _cleanup_strv_ char **pairs = NULL;
        json_auto_t *o = json_object();
        int r = strv_split(text, ",", &pairs);

        if (r < 0)
                return err_sys(err, r, "read --node-labels");
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

static int take(int id, const char *name, const char *value, void *userdata, struct err *err)
{
        struct options *o = userdata;

        if (!strv_contains(o->given, name) && strv_append(&o->given, name) < 0)
                return err_sys(err, -ENOMEM, "read the options");
        switch (id) {
        case OPT_CONFIG:
                return option_set_text(&o->config, name, value, err);
        case OPT_KUBECONFIG:
                return option_set_text(&o->kubeconfig, name, value, err);
        case OPT_BOOTSTRAP_KUBECONFIG:
                return option_set_text(&o->bootstrap_kubeconfig, name, value, err);
        case OPT_CERT_DIR:
                return option_set_path(&o->cert_dir, name, value, err);
        case OPT_HOSTNAME:
                return option_set_text(&o->hostname_override, name, value, err);
        case OPT_NODE_IP:
                return option_set_text(&o->node_ip, name, value, err);
        case OPT_NODE_LABELS:
                return parse_labels(value, &o->node_labels, err);
        case OPT_ROOT_DIR:
                return option_set_path(&o->root_dir, name, value, err);
        case OPT_RUN_DIR:
                return option_set_path(&o->run_dir, name, value, err);
        case OPT_STATE_DIR:
                return option_set_path(&o->state_dir, name, value, err);
        case OPT_POD_LOG_DIR:
                return option_set_path(&o->pod_log_dir, name, value, err);
        case OPT_CONTAINER_LOG_DIR:
                return option_set_path(&o->container_log_dir, name, value, err);
        case OPT_LIBEXEC_DIR:
                return option_set_path(&o->libexec_dir, name, value, err);
        case OPT_REGISTRIES:
                return option_set_path(&o->registries, name, value, err);
        case OPT_LOG_LEVEL:
                return option_set_log_level(&o->log_level, name, value, err);
        case OPT_VERSION:
                o->show_version = true;
                return 0;
        case OPT_HELP:
                o->show_help = true;
                return 0;
        }
        return 0;
}

static int set_defaults(struct options *o)
{
        o->log_level = LOG_INFO;
        o->root_dir = strdup("/var/lib/kubelet");
        o->run_dir = strdup(RUN_DIR_DEFAULT);
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
        *ret = (struct options){ 0 };
        if (set_defaults(ret) < 0)
                return err_sys(err, -ENOMEM, "read the options");
        return option_parse(argc, argv, long_options, take, ret, err);
}
