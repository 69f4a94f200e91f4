#include "kubelet/local-config.h"

#include <string.h>

#include "base/text.h"

static json_t *strings_json(char *const *v)
{
        json_t *list = json_array();

        STRV_FOREACH (s, v)
                json_array_append_new(list, json_string(*s));
        return list;
}

json_t *local_config_options(const struct options *o)
{
        const struct {
                const char *name, *value;
        } all[] = { { "config", o->config },
                    { "kubeconfig", o->kubeconfig },
                    { "bootstrap-kubeconfig", o->bootstrap_kubeconfig },
                    { "cert-dir", o->cert_dir },
                    { "hostname-override", o->hostname_override },
                    { "node-ip", o->node_ip },
                    { "root-dir", o->root_dir },
                    { "run-dir", o->run_dir },
                    { "state-dir", o->state_dir },
                    { "pod-log-dir", o->pod_log_dir },
                    { "container-log-dir", o->container_log_dir },
                    { "libexec-dir", o->libexec_dir },
                    { "registries", o->registries } };
        json_t *list = json_array();

        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                json_t *e = json_pack("{s:s, s:b}", "name", all[i].name, "given",
                                      strv_contains(o->given, all[i].name));

                json_set_text(e, "value", all[i].value);
                json_array_append_new(list, e);
        }
        return list;
}

json_t *local_config_json(const struct kubelet_config *config, const struct options *options)
{
        json_auto_t *whole = NULL;
        json_t *o, *shown;

        if (!config->configz ||
            json_parse(config->configz, strlen(config->configz), false, &whole, NULL) < 0)
                return NULL;
        shown = json_object_get(whole, "kubeletconfig");
        if (json_object_get(shown, "staticPodURLHeader"))
                json_set(shown, "staticPodURLHeader", json_string("(left out)"));
        o = json_pack("{s:O, s:o, s:o}", "kubeletconfig", shown, "given",
                      strings_json(config->given), "options", local_config_options(options));
        json_set_text(o, "file", options->config);
        return o;
}
