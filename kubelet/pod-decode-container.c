/* One container of a pod. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/pod-decode.h"

#define DEFAULT_MESSAGE_PATH "/dev/termination-log"
#define FIELD(type, member)  offsetof(struct type, member)

static const struct json_range not_negative_32 = { 0, INT32_MAX };
static const struct json_range not_negative_64 = { 0, INT64_MAX };
static const struct json_range ids = { 0, UINT32_MAX - 1 }; /* -1 is none to the kernel */

/* ---- ports ---- */
static int decode_protocol(const json_t *value, void *member, _unused_ const void *arg,
                           struct err *err)
{
        static const char *const names[] = { "TCP", "UDP", "SCTP", NULL };
        static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
        int i = 0;
        int r = decode_named(value, &i, names, err);

        if (r == 0)
                *(uint8_t *)member = numbers[i];
        return r;
}

static void port_init(void *element)
{
        ((struct pod_port *)element)->protocol = IPPROTO_TCP;
}

static const struct json_field
        port_fields[] = { /* clang-format off */
        { "name",          decode_text,         FIELD(pod_port, name), 0, NULL },
        { "containerPort", decode_port,         FIELD(pod_port, container_port), JSON_REQUIRED, NULL },
        { "hostPort",      decode_port_or_zero, FIELD(pod_port, host_port), 0, NULL },
        { "hostIP",        decode_text,         FIELD(pod_port, host_ip), 0, NULL },
        { "protocol",      decode_protocol,     FIELD(pod_port, protocol), 0, NULL },
        {}
};
static const struct json_array ports = {
        .fields = port_fields, .element_size = sizeof(struct pod_port), .init = port_init,
        .count_offset = JSON_ARRAY_COUNT(struct pod_container, ports, n_ports),
};

/* ---- environment ---- */
static const struct json_object_pointer value_from_pointer = {
        .fields = pod_value_from_fields, .size = sizeof(struct pod_value_from),
};
static const struct json_field env_fields[] = {
        { "name",      decode_string,         FIELD(pod_env, name), JSON_REQUIRED, NULL },
        { "value",     decode_string,         FIELD(pod_env, value), 0, NULL },
        { "valueFrom", decode_object_pointer, FIELD(pod_env, from), 0, &value_from_pointer },
        {}
}; /* clang-format on */

static int decode_env(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        struct pod_env *e = member;
        int r = json_decode(value, env_fields, e, err);

        if (r < 0)
                return r;
        if (e->name[0] == '\0' || strchr(e->name, '='))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "name: '%s': expected at least one character and no '='",
                                    e->name);
        if (e->from && e->from->kind == POD_VALUE_NONE)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "valueFrom: expected one of fieldRef, resourceFieldRef, "
                                    "configMapKeyRef, secretKeyRef, fileKeyRef");
        if (!e->value && free_and_strdup(&e->value, "") < 0)
                return err_sys(err, -ENOMEM, "read env");
        return 0;
}

static const struct json_field env_from_ref_fields[] = { /* clang-format off */
        { "name",     decode_string, FIELD(pod_env_from, name), 0, NULL },
        { "optional", decode_bool,   FIELD(pod_env_from, optional), 0, NULL },
        {}
}; /* clang-format on */

static int decode_env_from(const json_t *value, void *member, _unused_ const void *arg,
                           struct err *err)
{
        struct pod_env_from *e = member;
        const json_t *secret = json_object_get(value, "secretRef");
        const char *ref = json_is_object(secret) ? "secretRef" : "configMapRef";
        const struct json_field fields[] = {
                /* clang-format off */
                { "prefix", decode_string, FIELD(pod_env_from, prefix), 0, NULL },
                { ref,      decode_object, 0, JSON_REQUIRED, env_from_ref_fields },
                {}
        }; /* clang-format on */
        int r = json_decode(value, fields, e, err);

        if (r < 0)
                return r;
        e->is_secret = json_is_object(secret);
        if (!e->name)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: name: required, but missing",
                                    ref);
        if (!e->prefix && free_and_strdup(&e->prefix, "") < 0)
                return err_sys(err, -ENOMEM, "read envFrom");
        return 0;
}

/* ---- probes and hooks ---- */
static const char *const schemes[] = { "HTTP", "HTTPS", NULL };
static const struct json_array headers = {
        /* clang-format off */
        .fields = pod_name_value_fields, .element_size = sizeof(struct pod_string_pair),
        .count_offset = JSON_ARRAY_COUNT(struct pod_handler, headers, n_headers),
};
static const struct json_field exec_fields[] = {
        { "command", decode_strv, FIELD(pod_handler, command), 0, NULL },
        {}
};
static const struct json_field http_fields[] = {
        { "path",        decode_text,        FIELD(pod_handler, path), 0, NULL },
        { "host",        decode_text,        FIELD(pod_handler, host), 0, NULL },
        { "port",        decode_int_or_name, FIELD(pod_handler, port), JSON_REQUIRED, NULL },
        { "scheme",      decode_named_bool,  FIELD(pod_handler, https), 0, schemes },
        { "httpHeaders", decode_array,       FIELD(pod_handler, headers), 0, &headers },
        {}
};
static const struct json_field tcp_fields[] = {
        { "port", decode_int_or_name, FIELD(pod_handler, port), JSON_REQUIRED, NULL },
        { "host", decode_text,        FIELD(pod_handler, host), 0, NULL },
        {}
};
static const struct json_field grpc_fields[] = {
        { "port",    decode_int_or_name, FIELD(pod_handler, port), JSON_REQUIRED, NULL },
        { "service", decode_string,      FIELD(pod_handler, service), 0, NULL },
        {}
};
static const struct json_field sleep_fields[] = {
        { "seconds", decode_i64, FIELD(pod_handler, sleep_sec), JSON_REQUIRED, &not_negative_64 },
        {}
};
#define HANDLER(kind_, fields_) \
        &(const struct json_variant){ kind_, FIELD(pod_handler, kind), fields_, "handler" }
#define HANDLER_EXEC   { "exec",      decode_variant, 0, 0, HANDLER(POD_HANDLER_EXEC, exec_fields) }
#define HANDLER_HTTP   { "httpGet",   decode_variant, 0, 0, HANDLER(POD_HANDLER_HTTP_GET, http_fields) }
#define HANDLER_TCP    { "tcpSocket", decode_variant, 0, 0, HANDLER(POD_HANDLER_TCP_SOCKET, tcp_fields) }
#define HANDLER_GRPC   { "grpc",      decode_variant, 0, 0, HANDLER(POD_HANDLER_GRPC, grpc_fields) }
#define HANDLER_SLEEP  { "sleep",     decode_variant, 0, 0, HANDLER(POD_HANDLER_SLEEP, sleep_fields) }
static const struct json_field hook_fields[] = {
        HANDLER_EXEC, HANDLER_HTTP, HANDLER_TCP, HANDLER_SLEEP, {}
};
static const struct json_field probe_handler_fields[] = {
        HANDLER_EXEC, HANDLER_HTTP, HANDLER_TCP, HANDLER_GRPC, {}
}; /* clang-format on */

static int finish_handler(struct pod_handler *h, struct err *err)
{
        int r = 0;

        if (h->kind == POD_HANDLER_NONE)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected a handler: exec, httpGet, tcpSocket, …");
        if (h->kind == POD_HANDLER_HTTP_GET && !h->path)
                r = free_and_strdup(&h->path, "/");
        if (h->kind == POD_HANDLER_GRPC && !h->service)
                r = free_and_strdup(&h->service, "");
        return r < 0 ? err_sys(err, r, "read handler") : 0;
}

static int decode_hook(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        static const struct json_object_pointer pointer = { .fields = hook_fields,
                                                            .size = sizeof(struct pod_handler) };
        int r = decode_object_pointer(value, member, &pointer, err);

        return r < 0 ? r : finish_handler(*(struct pod_handler **)member, err);
}

static const struct json_field lifecycle_fields[] = { /* clang-format off */
        { "postStart",  decode_hook, FIELD(pod_container, post_start), 0, NULL },
        { "preStop",    decode_hook, FIELD(pod_container, pre_stop), 0, NULL },
        { "stopSignal", decode_text, FIELD(pod_container, stop_signal), 0, NULL },
        {}
};
static const struct json_field probe_fields[] = {
        { "initialDelaySeconds", decode_i32, FIELD(pod_probe, initial_delay_sec), 0, &not_negative_32 },
        { "timeoutSeconds",      decode_i32, FIELD(pod_probe, timeout_sec), 0, &not_negative_32 },
        { "periodSeconds",       decode_i32, FIELD(pod_probe, period_sec), 0, &not_negative_32 },
        { "successThreshold",    decode_i32, FIELD(pod_probe, success_threshold), 0, &not_negative_32 },
        { "failureThreshold",    decode_i32, FIELD(pod_probe, failure_threshold), 0, &not_negative_32 },
        { "terminationGracePeriodSeconds", decode_i64, FIELD(pod_probe, grace_sec), 0, &not_negative_64 },
        {}
}; /* clang-format on */

static void probe_init(void *p)
{
        ((struct pod_probe *)p)->grace_sec = POD_UNSET;
}

/* 0 is Go's "unset" for these. */
static void default_probe(struct pod_probe *p)
{
        if (p->timeout_sec == 0)
                p->timeout_sec = 1;
        if (p->period_sec == 0)
                p->period_sec = 10;
        if (p->success_threshold == 0)
                p->success_threshold = 1;
        if (p->failure_threshold == 0)
                p->failure_threshold = 3;
}

static int decode_probe(const json_t *value, void *member, _unused_ const void *arg,
                        struct err *err)
{
        static const struct json_object_pointer pointer = { .fields = probe_fields,
                                                            .size = sizeof(struct pod_probe),
                                                            .init = probe_init };
        int r = decode_object_pointer(value, member, &pointer, err);
        struct pod_probe *p = *(struct pod_probe **)member;

        if (r == 0)
                r = json_decode(value, probe_handler_fields, &p->handler, err);
        if (r < 0)
                return r;
        default_probe(p);
        return finish_handler(&p->handler, err);
}

/* ---- mounts and security ---- */
static const char *const propagations[] = { "None", "HostToContainer", "Bidirectional", NULL };
static const char *const rro_modes[] = { "Disabled", "IfPossible", "Enabled", NULL };
static const struct json_field
        mount_fields[] = { /* clang-format off */
        { "name",              decode_string, FIELD(pod_mount, name), JSON_REQUIRED, NULL },
        { "mountPath",         decode_string, FIELD(pod_mount, path), JSON_REQUIRED, NULL },
        { "subPath",           decode_text,   FIELD(pod_mount, sub_path), 0, NULL },
        { "subPathExpr",       decode_text,   FIELD(pod_mount, sub_path_expr), 0, NULL },
        { "readOnly",          decode_bool,   FIELD(pod_mount, read_only), 0, NULL },
        { "mountPropagation",  decode_named,  FIELD(pod_mount, propagation), 0, propagations },
        { "recursiveReadOnly", decode_named,  FIELD(pod_mount, recursive_read_only), 0, rro_modes },
        {}
};
static const struct json_array mounts = {
        .fields = mount_fields, .element_size = sizeof(struct pod_mount),
        .count_offset = JSON_ARRAY_COUNT(struct pod_container, mounts, n_mounts),
};
static const struct json_field device_fields[] = {
        { "name",       decode_string, FIELD(pod_string_pair, name), JSON_REQUIRED, NULL },
        { "devicePath", decode_string, FIELD(pod_string_pair, value), JSON_REQUIRED, NULL },
        {}
};
static const struct json_array devices = {
        .fields = device_fields, .element_size = sizeof(struct pod_string_pair),
        .count_offset = JSON_ARRAY_COUNT(struct pod_container, devices, n_devices),
};
static const char *const proc_mounts[] = { "Default", "Unmasked", NULL };
static const struct json_field capability_fields[] = {
        { "add",  decode_strv, FIELD(pod_security, cap_add), 0, NULL },
        { "drop", decode_strv, FIELD(pod_security, cap_drop), 0, NULL },
        {}
};
static const struct json_field security_fields[] = {
        { "capabilities",             decode_object,     0, 0, capability_fields },
        { "privileged",               decode_tristate,   FIELD(pod_security, privileged), 0, NULL },
        { "runAsNonRoot",             decode_tristate,   FIELD(pod_security, run_as_non_root), 0, NULL },
        { "readOnlyRootFilesystem",   decode_tristate,   FIELD(pod_security, read_only_root), 0, NULL },
        { "allowPrivilegeEscalation", decode_tristate,   FIELD(pod_security, allow_privilege_escalation), 0, NULL },
        { "runAsUser",                decode_i64,        FIELD(pod_security, run_as_user), 0, &ids },
        { "runAsGroup",               decode_i64,        FIELD(pod_security, run_as_group), 0, &ids },
        { "procMount",                decode_named_bool, FIELD(pod_security, proc_unmasked), 0, proc_mounts },
        { "seLinuxOptions",           decode_object_pointer, FIELD(pod_security, selinux), 0, &pod_selinux_pointer },
        { "seccompProfile",           decode_object,     FIELD(pod_security, seccomp), 0, pod_profile_fields },
        { "appArmorProfile",          decode_object,     FIELD(pod_security, apparmor), 0, pod_profile_fields },
        {}
}; /* clang-format on */

static void security_init(void *p)
{
        struct pod_security *s = p;

        s->privileged = s->run_as_non_root = s->read_only_root = POD_UNSET;
        s->allow_privilege_escalation = POD_UNSET;
        s->run_as_user = s->run_as_group = POD_UNSET;
}

static int decode_security(const json_t *value, void *member, _unused_ const void *arg,
                           struct err *err)
{
        static const struct json_object_pointer pointer = { .fields = security_fields,
                                                            .size = sizeof(struct pod_security),
                                                            .init = security_init };
        int r = decode_object_pointer(value, member, &pointer, err);

        if (r == 0)
                (*(struct pod_security **)member)->has_windows_options = json_is_object(
                        json_object_get(value, "windowsOptions"));
        return r;
}

/* ---- restart rules ---- */
static const char *const rule_actions[] = { "Restart", "RestartAllContainers", NULL };
static const char *const rule_operators[] = { "In", "NotIn", NULL };
static const struct json_array exit_codes = {
        /* clang-format off */
        .decode = decode_i32, .element_size = sizeof(int32_t),
        .count_offset = JSON_ARRAY_COUNT(struct pod_restart_rule, exit_codes, n_exit_codes),
};
static const struct json_field exit_code_fields[] = {
        { "operator", decode_named_bool, FIELD(pod_restart_rule, not_in), JSON_REQUIRED, rule_operators },
        { "values",   decode_array,      FIELD(pod_restart_rule, exit_codes), 0, &exit_codes },
        {}
};
static const struct json_field rule_fields[] = {
        { "action",    decode_named,  FIELD(pod_restart_rule, action), JSON_REQUIRED, rule_actions },
        { "exitCodes", decode_object, 0, JSON_REQUIRED, exit_code_fields },
        {}
};
static const struct json_array restart_rules = {
        .fields = rule_fields, .element_size = sizeof(struct pod_restart_rule),
        .count_offset = JSON_ARRAY_COUNT(struct pod_container, restart_rules, n_restart_rules),
};
static const struct json_field resize_fields[] = {
        { "resourceName",  decode_string, FIELD(pod_string_pair, name), JSON_REQUIRED, NULL },
        { "restartPolicy", decode_string, FIELD(pod_string_pair, value), JSON_REQUIRED, NULL },
        {}
};
static const struct json_array resize_policies = {
        .fields = resize_fields, .element_size = sizeof(struct pod_string_pair),
        .count_offset = JSON_ARRAY_COUNT(struct pod_container, resize_policies, n_resize_policies),
};

/* ---- container ---- */
static const struct json_array env = {
        .decode = decode_env, .element_size = sizeof(struct pod_env),
        .count_offset = JSON_ARRAY_COUNT(struct pod_container, env, n_env), .max = 65536,
};
static const struct json_array env_from = {
        .decode = decode_env_from, .element_size = sizeof(struct pod_env_from),
        .count_offset = JSON_ARRAY_COUNT(struct pod_container, env_from, n_env_from),
};
static const char *const message_policies[] = { "File", "FallbackToLogsOnError", NULL };
const char *const pod_pull_policies[] = { "Always", "IfNotPresent", "Never", NULL };
static const char *const restart_policies[] = { "Always", "OnFailure", "Never", NULL };
static const struct json_field container_fields[] = {
        { "name",                     decode_dns_label, FIELD(pod_container, name), JSON_REQUIRED, NULL },
        { "image",                    decode_string,    FIELD(pod_container, image), 0, NULL },
        { "command",                  decode_strv,      FIELD(pod_container, command), 0, NULL },
        { "args",                     decode_strv,      FIELD(pod_container, args), 0, NULL },
        { "workingDir",               decode_text,      FIELD(pod_container, working_dir), 0, NULL },
        { "ports",                    decode_array,     FIELD(pod_container, ports), 0, &ports },
        { "env",                      decode_array,     FIELD(pod_container, env), 0, &env },
        { "envFrom",                  decode_array,     FIELD(pod_container, env_from), 0, &env_from },
        { "resources",                decode_resources, FIELD(pod_container, resources), 0, NULL },
        { "resizePolicy",             decode_array,     FIELD(pod_container, resize_policies), 0, &resize_policies },
        { "restartPolicy",            decode_named,     FIELD(pod_container, restart_policy), 0, restart_policies },
        { "restartPolicyRules",       decode_array,     FIELD(pod_container, restart_rules), 0, &restart_rules },
        { "volumeMounts",             decode_array,     FIELD(pod_container, mounts), 0, &mounts },
        { "volumeDevices",            decode_array,     FIELD(pod_container, devices), 0, &devices },
        { "livenessProbe",            decode_probe,     FIELD(pod_container, liveness), 0, NULL },
        { "readinessProbe",           decode_probe,     FIELD(pod_container, readiness), 0, NULL },
        { "startupProbe",             decode_probe,     FIELD(pod_container, startup), 0, NULL },
        { "lifecycle",                decode_object,    0, 0, lifecycle_fields },
        { "terminationMessagePath",   decode_text,      FIELD(pod_container, termination_message_path), 0, NULL },
        { "terminationMessagePolicy", decode_named_bool, FIELD(pod_container, message_fallback_to_logs), 0, message_policies },
        { "imagePullPolicy",          decode_named,     FIELD(pod_container, pull_policy), 0, pod_pull_policies },
        { "securityContext",          decode_security,  FIELD(pod_container, security), 0, NULL },
        { "stdin",                    decode_bool,      FIELD(pod_container, stdin), 0, NULL },
        { "stdinOnce",                decode_bool,      FIELD(pod_container, stdin_once), 0, NULL },
        { "tty",                      decode_bool,      FIELD(pod_container, tty), 0, NULL },
        { "targetContainerName",      decode_text,      FIELD(pod_container, target_container), 0, NULL },
        {}
}; /* clang-format on */

/* Without a tag, or with the tag "latest", an image may have moved; a digest never does. */
static bool image_tag_is_latest(const char *image)
{
        const char *name = strrchr(image, '/'), *colon;

        if (strchr(image, '@'))
                return false;
        colon = strchr(name ? name : image, ':');
        return !colon || streq(colon + 1, "latest");
}

enum pod_pull_policy pod_default_pull_policy(const char *image)
{
        return image_tag_is_latest(image) ? POD_PULL_ALWAYS : POD_PULL_IF_NOT_PRESENT;
}

int decode_container(const json_t *value, void *member, const void *arg, struct err *err)
{
        const bool *is_init = arg;
        struct pod_container *c = member;
        int r;

        c->restart_policy = POD_UNSET;
        c->pull_policy = _POD_PULL_MAX;
        r = json_decode(value, container_fields, c, err);
        if (r < 0)
                return r;
        if (!c->termination_message_path)
                r = free_and_strdup(&c->termination_message_path, DEFAULT_MESSAGE_PATH);
        if (r == 0 && !c->image)
                r = free_and_strdup(&c->image, "");
        if (r < 0)
                return err_sys(err, r, "read container");
        if (c->pull_policy == _POD_PULL_MAX)
                c->pull_policy = pod_default_pull_policy(c->image);
        c->kind = POD_CONTAINER_REGULAR;
        if (is_init && *is_init)
                c->kind = c->restart_policy == POD_RESTART_ALWAYS ? POD_CONTAINER_SIDECAR
                                                                  : POD_CONTAINER_INIT;
        return 0;
}

void pod_handler_done(struct pod_handler *h)
{
        strv_free(h->command);
        free(h->host);
        free(h->path);
        free(h->port.name);
        pod_string_pairs_free(h->headers, h->n_headers);
        free(h->service);
}

static void handler_free(struct pod_handler *h)
{
        if (h)
                pod_handler_done(h);
        free(h);
}

static void probe_free(struct pod_probe *p)
{
        if (p)
                pod_handler_done(&p->handler);
        free(p);
}

static void security_free(struct pod_security *s)
{
        if (!s)
                return;
        strv_free(s->cap_add);
        strv_free(s->cap_drop);
        pod_selinux_free(s->selinux);
        pod_profile_done(&s->seccomp);
        pod_profile_done(&s->apparmor);
        free(s);
}

static void env_done(struct pod_env *e)
{
        free(e->name);
        free(e->value);
        if (e->from)
                pod_value_from_done(e->from);
        free(e->from);
}

static void lists_done(struct pod_container *c)
{
        for (size_t i = 0; i < c->n_ports; i++) {
                free(c->ports[i].name);
                free(c->ports[i].host_ip);
        }
        free(c->ports);
        for (size_t i = 0; i < c->n_env; i++)
                env_done(&c->env[i]);
        free(c->env);
        for (size_t i = 0; i < c->n_env_from; i++) {
                free(c->env_from[i].prefix);
                free(c->env_from[i].name);
        }
        free(c->env_from);
        for (size_t i = 0; i < c->n_mounts; i++) {
                free(c->mounts[i].name);
                free(c->mounts[i].path);
                free(c->mounts[i].sub_path);
                free(c->mounts[i].sub_path_expr);
        }
        free(c->mounts);
        for (size_t i = 0; i < c->n_restart_rules; i++)
                free(c->restart_rules[i].exit_codes);
        free(c->restart_rules);
        pod_string_pairs_free(c->devices, c->n_devices);
        pod_string_pairs_free(c->resize_policies, c->n_resize_policies);
}

void pod_container_done(struct pod_container *c)
{
        lists_done(c);
        free(c->name);
        free(c->image);
        strv_free(c->command);
        strv_free(c->args);
        free(c->working_dir);
        pod_resources_done(&c->resources);
        probe_free(c->liveness);
        probe_free(c->readiness);
        probe_free(c->startup);
        handler_free(c->post_start);
        handler_free(c->pre_stop);
        free(c->stop_signal);
        free(c->termination_message_path);
        security_free(c->security);
        free(c->target_container);
}
