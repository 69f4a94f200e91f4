#include "kubelet/pod-observe.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"

#define MESSAGE_FILE_MAX 4096
#define MESSAGE_LOG_MAX  2048
#define MESSAGE_LINES    80
#define LOG_TAIL_MAX     65536

struct observer {
        struct map *messages; /* container id -> text, owned ("" for none) */
};

struct observer *observer_new(void)
{
        struct observer *o = calloc(1, sizeof *o);

        if (o)
                o->messages = map_new();
        return o && o->messages ? o : observer_free(o);
}

struct observer *observer_free(struct observer *o)
{
        if (!o)
                return NULL;
        map_free_with(o->messages, free);
        free(o);
        return NULL;
}

void observation_done(struct observation *o)
{
        free(o->containers);
        free(o->instances);
        *o = (struct observation){ 0 };
}

/*
 * The last @max bytes of a regular file that a container may have written; of one with a second
 * name, which may be somebody else's that was linked here, nothing.
 */
static char *read_tail(const char *path, size_t max)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        _cleanup_free_ char *text = NULL;
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink > 1)
                return NULL;
        text = malloc(max + 1);
        if (!text)
                return NULL;
        n = pread(fd, text, max, st.st_size > (off_t)max ? st.st_size - (off_t)max : 0);
        if (n < 0)
                return NULL;
        text[n] = '\0';
        return TAKE_PTR(text);
}

/* CRI lines "time stream tag text" to their text, the last @max bytes of the last MESSAGE_LINES
 * lines. */
static char *log_to_message(const char *log)
{
        struct strbuf b = { 0 };
        const char *line = log;
        size_t lines = 0;
        char *text, *tail;

        for (const char *p = log; *p; p++)
                lines += *p == '\n';
        for (; *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : line + strlen(line)) {
                const char *body = line;
                size_t n = strcspn(line, "\n");
                bool full;

                if (line[n] && lines-- > MESSAGE_LINES)
                        continue;
                for (int i = 0; body && i < 3; i++) {
                        body = memchr(body, ' ', n - (size_t)(body - line));
                        body = body ? body + 1 : NULL;
                }
                if (!body || body - line < 2)
                        continue;
                full = body[-2] == 'F';
                strbuf_add_n(&b, body, n - (size_t)(body - line));
                if (full)
                        strbuf_add(&b, "\n");
        }
        text = strbuf_take(&b);
        if (!text || strlen(text) <= MESSAGE_LOG_MAX)
                return text;
        tail = strdup(text + strlen(text) - MESSAGE_LOG_MAX);
        free(text);
        return tail;
}

char *termination_message_read(const char *file, bool fall_back_to_log, const char *log_path,
                               int exit_code)
{
        char *text = file ? read_tail(file, MESSAGE_FILE_MAX) : NULL;

        if (text && *text)
                return text;
        free(text);
        if (fall_back_to_log && exit_code != 0 && log_path) {
                _cleanup_free_ char *log = read_tail(log_path, LOG_TAIL_MAX);

                return log ? log_to_message(log) : NULL;
        }
        return NULL;
}

/* The message shown for an exited container: the runtime's, the program's, or both. Borrowed. */
static const char *message_of(struct observer *o, const struct container_status *c)
{
        const char *known = map_get(o->messages, c->id);
        _cleanup_free_ char *own = NULL;
        const char *policy;
        char *text;

        if (known)
                return *known ? known : NULL;
        policy = string_map_get(c->labels, LABEL_MESSAGE_POLICY);
        own = c->start_failed || c->lost
                      ? NULL
                      : termination_message_read(string_map_get(c->labels, LABEL_MESSAGE_FILE),
                                                 policy && streq(policy, "FallbackToLogsOnError"),
                                                 c->log_path, c->exit_code);
        if (c->message && own)
                text = text_printf("%s: %s", c->message, own);
        else
                text = strdup(c->message ? c->message : own ? own : "");
        if (!text || map_put(o->messages, c->id, text, NULL) < 0) {
                free(text);
                return NULL;
        }
        return *text ? text : NULL;
}

struct collecting {
        const char *uid;
        const struct sandbox_status *newest;
        uint32_t newest_attempt;
        unsigned n_ready;
        const struct container_status **found; /* owned by observe() */
        size_t n, cap;
        bool failed;
};

static uint32_t number_label(const struct string_map *labels, const char *key)
{
        const char *text = string_map_get(labels, key);
        uint32_t v;

        return text && text_to_u32(text, &v) == 0 ? v : 0;
}

bool pod_has_labels(const struct string_map *labels, const char *pod_uid)
{
        return streq_null(string_map_get(labels, LABEL_POD_UID), pod_uid);
}

struct search {
        const char *uid;
        const struct sandbox_status *any, *ready;
};

static void match_sandbox(const struct sandbox_status *s, void *userdata)
{
        struct search *search = userdata;

        if (!pod_has_labels(s->labels, search->uid))
                return;
        search->any = s;
        if (s->state == SANDBOX_READY)
                search->ready = s;
}

const struct sandbox_status *pod_ready_sandbox(const struct runtime *rt, const char *pod_uid)
{
        struct search search = { .uid = pod_uid };

        sandbox_foreach(rt, match_sandbox, &search);
        return search.ready;
}

const struct sandbox_status *pod_any_sandbox(const struct runtime *rt, const char *pod_uid)
{
        struct search search = { .uid = pod_uid };

        sandbox_foreach(rt, match_sandbox, &search);
        return search.any;
}

static void on_sandbox(const struct sandbox_status *s, void *userdata)
{
        struct collecting *c = userdata;

        if (!pod_has_labels(s->labels, c->uid))
                return;
        c->n_ready += s->state == SANDBOX_READY;
        if (c->newest && c->newest->created_at >= s->created_at)
                return;
        c->newest = s;
        c->newest_attempt = number_label(s->labels, LABEL_ATTEMPT);
}

static void on_container(const struct container_status *s, void *userdata)
{
        struct collecting *c = userdata;

        if (!pod_has_labels(s->labels, c->uid))
                return;
        if (c->n == c->cap) {
                size_t cap = c->cap * 2 + 8;
                const struct container_status **grown = realloc(c->found, cap * sizeof *grown);

                if (!grown) {
                        c->failed = true;
                        return;
                }
                c->found = grown;
                c->cap = cap;
        }
        c->found[c->n++] = s;
}

static int newest_first(const void *a, const void *b)
{
        const struct container_status *x = *(const struct container_status *const *)a;
        const struct container_status *y = *(const struct container_status *const *)b;
        uint32_t rx = number_label(x->labels, LABEL_RESTART_COUNT);
        uint32_t ry = number_label(y->labels, LABEL_RESTART_COUNT);

        if (x->created_at != y->created_at)
                return x->created_at > y->created_at ? -1 : 1;
        return rx > ry ? -1 : rx < ry;
}

/* The name the runtime has for the image a container was started from. */
static void fill_image(const struct context *ctx, const struct container_status *c,
                       struct instance *i)
{
        const struct image_info *image = image_find(ctx->rt, c->image_id);
        _cleanup_free_ char *wanted = NULL;

        i->image = c->image_name;
        i->image_id = c->image_id;
        if (!image)
                return;
        if (image->repo_digests && image->repo_digests[0])
                i->image_id = image->repo_digests[0];
        if (image_normalize(c->image_name, &wanted, NULL) < 0)
                return;
        STRV_FOREACH (tag, image->repo_tags)
                if (streq(*tag, wanted)) {
                        i->image = *tag;
                        return;
                }
        STRV_FOREACH (digest, image->repo_digests)
                if (streq(*digest, wanted))
                        i->image = *digest;
}

static struct instance to_instance(struct observer *o, const struct context *ctx,
                                   const struct container_status *c)
{
        static const enum instance_state states[] = {
                [CONTAINER_CREATED] = INSTANCE_CREATED,
                [CONTAINER_RUNNING] = INSTANCE_RUNNING,
                [CONTAINER_EXITED] = INSTANCE_EXITED,
                [CONTAINER_UNKNOWN] = INSTANCE_UNKNOWN,
        };
        const char *hash = string_map_get(c->labels, LABEL_HASH);
        const char *amounts = string_map_get(c->labels, LABEL_AMOUNTS);
        struct instance i = {
                .id = c->id,
                .state = states[c->state],
                .exit_code = c->exit_code,
                .oom_killed = c->oom_killed,
                .start_failed = c->start_failed,
                .lost = c->lost,
                .message = c->state == CONTAINER_EXITED ? message_of(o, c) : NULL,
                .created_at = c->created_at,
                .started_at = c->started_at,
                .finished_at = c->finished_at,
                .restart_count = number_label(c->labels, LABEL_RESTART_COUNT),
                .has_user = c->state != CONTAINER_UNKNOWN,
                .uid = c->uid,
                .gid = c->gid,
                .groups = c->groups,
                .n_groups = c->n_groups,
        };

        if (!hash || text_to_u64(hash, &i.hash) < 0)
                i.hash = 0;
        i.has_amounts = amounts && container_amounts_parse(amounts, &i.amounts) == 0;
        fill_image(ctx, c, &i);
        return i;
}

static void fill_sandbox(struct pod_observed *seen, const struct collecting *c)
{
        const struct sandbox_status *s = c->newest;

        seen->ip4 = seen->ip6 = "";
        seen->n_ready_sandboxes = c->n_ready;
        if (!s)
                return;
        seen->has_sandbox = true;
        seen->sandbox_ready = s->state == SANDBOX_READY;
        seen->sandbox_host_network = s->host_network;
        seen->sandbox_id = s->id;
        seen->sandbox_attempt = c->newest_attempt;
        seen->sandbox_created_at = s->created_at;
        seen->ip4 = s->ipv4;
        seen->ip6 = s->ipv6;
}

/* Lays the instances out container by container, so that each sees its own as one array. */
static void distribute(struct observer *o, const struct context *ctx, const struct pod *pod,
                       const struct collecting *c, struct observation *ret)
{
        const struct pod_container *spec;

        POD_FOREACH_CONTAINER(spec, pod)
        {
                struct container_observed *out = &ret->containers[_i];

                out->instances = ret->instances + ret->n_instances;
                for (size_t k = 0; k < c->n; k++) {
                        const char *name = string_map_get(c->found[k]->labels,
                                                          LABEL_CONTAINER_NAME);
                        struct instance *i = &ret->instances[ret->n_instances];

                        if (!name || !streq(name, spec->name))
                                continue;
                        *i = to_instance(o, ctx, c->found[k]);
                        i->old_sandbox = c->newest &&
                                         !streq(c->found[k]->sandbox_id, c->newest->id);
                        ret->n_instances++;
                        out->n_instances++;
                }
        }
}

int observe(struct observer *o, const struct context *ctx, const struct pod *pod,
            struct observation *ret)
{
        struct collecting c = { .uid = pod->uid };
        struct observation out = { .n_containers = pod_n_containers(pod) };

        sandbox_foreach(ctx->rt, on_sandbox, &c);
        container_foreach(ctx->rt, NULL, on_container, &c);
        out.containers = calloc(out.n_containers + 1, sizeof *out.containers);
        out.instances = calloc(c.n + 1, sizeof *out.instances);
        if (c.failed || !out.containers || !out.instances) {
                free(c.found);
                observation_done(&out);
                return -ENOMEM;
        }
        if (c.n)
                qsort(c.found, c.n, sizeof *c.found, newest_first);
        for (size_t i = 0; i < c.n; i++)
                out.any_running |= c.found[i]->state == CONTAINER_RUNNING ||
                                   c.found[i]->state == CONTAINER_CREATED;
        fill_sandbox(&out.seen, &c);
        distribute(o, ctx, pod, &c, &out);
        free(c.found);
        out.seen.containers = out.containers;
        out.seen.host_ip4 = strchr(ctx->node_ip, ':') ? "" : ctx->node_ip;
        out.seen.host_ip6 = strchr(ctx->node_ip, ':') ? ctx->node_ip : "";
        *ret = out;
        return 0;
}
