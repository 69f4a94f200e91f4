#include "tests/unit/proxy-fixture.h"

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

struct service *make_service(const char *name, const char *spec)
{
        _cleanup_free_ char *text =
                text_printf("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\"},\"spec\":{%s}}",
                            name, spec);
        json_auto_t *root = NULL;
        struct service *s = NULL;
        struct err err = { 0 };

        if (json_parse(text, strlen(text), true, &root, &err) < 0 ||
            service_decode(root, &s, &err) < 0)
                fail_msg("%s", err_text(&err));
        err_done(&err);
        return s;
}

struct endpoint_slice *make_slice(const char *service, const char *port_name, uint16_t port,
                                  const char *endpoints)
{
        json_auto_t *root =
                json_pack("{s:{s:s, s:s, s:{s:s}}, s:s, s:[{s:s, s:i}, {s:s, s:s, s:i}], s:[]}",
                          "metadata", "namespace", "ns", "name", "slice", "labels",
                          "kubernetes.io/service-name", service, "addressType",
                          strchr(endpoints, ':') ? "IPv6" : "IPv4", "ports", "name", port_name,
                          "port", port, "name", "dns", "protocol", "UDP", "port", 53, "endpoints");
        _cleanup_strv_ char **words = NULL;
        struct endpoint_slice *s = NULL;

        CHECK(strv_split(endpoints, " ", &words) == 0);
        STRV_FOREACH (w, words) {
                bool is_local = endswith(*w, "L");
                json_t *e = json_object();

                if (is_local)
                        (*w)[strlen(*w) - 1] = 0;
                json_object_set_new(e, "addresses", json_pack("[s]", *w));
                json_object_set_new(e, "nodeName", json_string(is_local ? "node-1" : "node-2"));
                json_array_append_new(json_object_get(root, "endpoints"), e);
        }
        CHECK(endpoint_slice_decode(root, "node-1", &s, NULL) == 0 && s);
        return s;
}

struct ruleset_context make_context(int family)
{
        return (struct ruleset_context){
                .family = family,
                .mark = 0x4000,
                .detector = DETECTOR_POD_IPS,
                .masquerade_pods = true,
                .drop_invalid = true,
                .zone = "",
        };
}
