#include "tests/unit/pod-fixture.h"

#include "base/text.h"
#include "tests/check.h"

json_t *json_of(const char *text)
{
        _cleanup_free_ char *copy = strdup(text);
        json_error_t e;
        json_t *root;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        root = json_loads(copy, JSON_DECODE_ANY, &e);
        if (!root)
                fail_msg("%s in: %s", e.text, text);
        return root;
}

struct pod *pod_of(const char *spec, const char *rest)
{
        _cleanup_free_ char *text =
                text_printf("{'metadata':{'name':'web','namespace':'ns','uid':'u1'},'spec':%s%s%s}",
                            spec, rest ? "," : "", rest ? rest : "");
        json_auto_t *object = json_of(text);
        _cleanup_err_ struct err err = { 0 };
        struct pod *p = NULL;

        if (pod_decode(object, POD_SOURCE_API, &p, &err) < 0)
                fail_msg("%s in: %s", err_text(&err), text);
        return p;
}

void check_json(const json_t *actual, const char *expected)
{
        json_auto_t *wanted = json_of(expected);
        _cleanup_free_ char *a = NULL, *b = NULL;

        if (json_equal(actual, wanted))
                return;
        a = json_dumps(actual, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        b = json_dumps(wanted, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        assert_string_equal(a ? a : "(null)", b);
}

/* ---- what is there ---- */
struct observed_fixture {
        json_t *root; /* keeps the texts alive */
        struct pod_observed seen;
        struct container_observed *containers;
        struct instance *instances; /* of all containers, one array */
        size_t n_instances;
};

static bool bool_at(const json_t *o, const char *key)
{
        return json_is_true(json_object_get(o, key));
}

static int64_t number_at(const json_t *o, const char *key, int64_t fallback)
{
        const json_t *v = json_object_get(o, key);

        return v ? json_integer_value(v) : fallback;
}

static usec_t time_at(const json_t *o, const char *key)
{
        return (usec_t)number_at(o, key, 0) * USEC_PER_SEC;
}

static int word_at(const json_t *o, const char *key, const char *const words[])
{
        const char *s = json_text_at(o, key);

        for (int i = 0; s && words[i]; i++)
                if (streq(words[i], s))
                        return i;
        if (s)
                fail_msg("unknown word '%s'", s);
        return 0;
}

static struct instance instance_of(const struct pod_container *c, const json_t *o)
{
        static const char *const states[] = { "created", "running", "exited", "unknown", NULL };
        const char *image = json_text_at(o, "image"), *image_id = json_text_at(o, "imageID");
        const char *id = json_text_at(o, "id"), *amounts = json_text_at(o, "amounts");
        struct container_amounts parsed = { 0 };
        uint64_t hash = container_definition_hash(c);

        return (struct instance){
                .id = id ? id : "0123abcd",
                .state = (enum instance_state)word_at(o, "state", states),
                .exit_code = (int)number_at(o, "code", 0),
                .oom_killed = bool_at(o, "oom"),
                .start_failed = bool_at(o, "startFailed"),
                .lost = bool_at(o, "lost"),
                .message = json_text_at(o, "message"),
                .created_at = time_at(o, "created"),
                .started_at = time_at(o, "started"),
                .finished_at = time_at(o, "finished"),
                .restart_count = (uint32_t)number_at(o, "count", 0),
                .image = image ? image : c->image,
                .image_id = image_id ? image_id : "sha256:00",
                .hash = bool_at(o, "changed") ? hash + 1 : hash,
                .old_sandbox = bool_at(o, "old"),
                .has_user = json_object_get(o, "uid") != NULL,
                .has_amounts = amounts && container_amounts_parse(amounts, &parsed) == 0,
                .amounts = parsed,
                .uid = (uint32_t)number_at(o, "uid", 0),
                .gid = (uint32_t)number_at(o, "gid", 0),
        };
}

static void fill_container(struct observed_fixture *f, const struct pod_container *c,
                           const json_t *o, struct container_observed *ret)
{
        static const char *const verdicts[] = { "none", "success", "failure", NULL };
        const json_t *list = json_is_array(o) ? o : json_object_get(o, "instances"), *e;
        const json_t *waiting = json_object_get(o, "waiting");
        size_t i;

        ret->instances = &f->instances[f->n_instances];
        json_array_foreach ((json_t *)list, i, e)
                f->instances[f->n_instances++] = instance_of(c, e);
        ret->n_instances = json_array_size(list);
        ret->startup = (enum probe_verdict)word_at(o, "startup", verdicts);
        ret->liveness = (enum probe_verdict)word_at(o, "liveness", verdicts);
        ret->readiness = (enum probe_verdict)word_at(o, "readiness", verdicts);
        ret->has_started_before = bool_at(o, "startedBefore");
        ret->was_ready_before = bool_at(o, "readyBefore");
        ret->must_restart = bool_at(o, "mustRestart");
        ret->waiting_reason = json_string_value(json_array_get(waiting, 0));
        ret->waiting_message = json_string_value(json_array_get(waiting, 1));
}

static void fill_sandbox(struct pod_observed *seen, const json_t *o)
{
        const char *ip = json_text_at(o, "ip");

        seen->ip4 = seen->ip6 = "";
        seen->host_ip4 = "192.0.2.1";
        seen->host_ip6 = "";
        if (!o)
                return;
        seen->has_sandbox = true;
        seen->sandbox_ready = !json_is_false(json_object_get(o, "ready"));
        seen->n_ready_sandboxes = (unsigned)number_at(o, "readySandboxes", seen->sandbox_ready);
        seen->sandbox_host_network = bool_at(o, "host");
        seen->sandbox_id = "5a4d";
        seen->sandbox_attempt = (uint32_t)number_at(o, "attempt", 0);
        seen->sandbox_created_at = time_at(o, "created");
        seen->ip4 = ip ? ip : "";
}

struct observed_fixture *observed_of(const struct pod *pod, const char *text)
{
        struct observed_fixture *f = calloc(1, sizeof *f);
        const struct pod_container *c;

        f->root = json_of(text);
        f->containers = calloc(pod_n_containers(pod), sizeof *f->containers);
        f->instances = calloc(64, sizeof *f->instances);
        fill_sandbox(&f->seen, json_object_get(f->root, "sandbox"));
        for (size_t i = 0; (c = pod_container_at(pod, i)); i++)
                fill_container(f, c, json_object_get(f->root, c->name), &f->containers[i]);
        f->seen.containers = f->containers;
        return f;
}

const struct pod_observed *observed_seen(const struct observed_fixture *f)
{
        return &f->seen;
}

struct observed_fixture *observed_free(struct observed_fixture *f)
{
        json_decref(f->root);
        free(f->containers);
        free(f->instances);
        free(f);
        return NULL;
}
