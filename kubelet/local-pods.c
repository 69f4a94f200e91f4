#include "kubelet/local-pods.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "kubelet/pod-observe.h"

enum { CGROUP_MAX = 4096 };

struct search {
        const char *uid, *name;
        const struct container_status *found; /* the newest */
};

static void match(const struct container_status *c, void *userdata)
{
        struct search *s = userdata;
        const char *uid = string_map_get(c->labels, LABEL_POD_UID);
        const char *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);

        if (uid && name && streq(uid, s->uid) && streq(name, s->name) &&
            (!s->found || c->created_at > s->found->created_at))
                s->found = c;
}

/* "net": "net:[4026531840]" and so on, of a process. */
static json_t *namespaces_json(pid_t pid)
{
        static const char *const kinds[] = { "cgroup", "ipc", "mnt", "net", "pid", "user", "uts" };
        json_t *o = json_object();

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                char path[64], target[64];
                ssize_t n;

                snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kinds[i]);
                n = readlink(path, target, sizeof target - 1);
                if (n < 0)
                        continue;
                target[n] = '\0';
                json_set_text(o, kinds[i], target);
        }
        return o;
}

/* Its place in the v2 hierarchy; owned, NULL: not known. */
static char *cgroup_of(pid_t pid)
{
        _cleanup_free_ char *path = text_printf("/proc/%d/cgroup", (int)pid), *text = NULL;
        const char *line;

        if (!path || fs_read_at(AT_FDCWD, path, CGROUP_MAX, &text, NULL) < 0)
                return NULL;
        line = startswith(text, "0::") ? text : strstr(text, "\n0::");
        if (!line)
                return NULL;
        line = strstr(line, "0::") + 3;
        return strndup(line, strcspn(line, "\n"));
}

void local_pod_inspect(const struct context *ctx, struct http_exchange *x, const struct pod *pod)
{
        const char *name = http_exchange_query(x, "container");
        struct search s = { .uid = pod->uid,
                            .name = name && *name ? name : pod->containers[0].name };
        _cleanup_free_ char *message = NULL, *cgroup = NULL;
        _cleanup_err_ struct err err = { 0 };
        json_t *config = NULL, *o;

        if (pod_find_container(pod, s.name))
                container_foreach(ctx->rt, NULL, match, &s);
        if (!s.found) {
                message = text_printf("container %s of pod %s was not created (yet)", s.name,
                                      pod->name);
                return local_api_fail(x, 404, message ? message : "no such container");
        }
        if (container_inspect(ctx->rt, s.found->id, &config, &err) < 0)
                return local_api_fail(x, err.kind == ERR_NOT_FOUND ? 404 : 500, err_text(&err));
        o = json_pack("{s:s, s:s, s:s, s:o}", "id", s.found->id, "sandboxId", s.found->sandbox_id,
                      "name", s.name, "config", config);
        json_set_text(o, "image", s.found->image_name);
        json_set_text(o, "imageId", s.found->image_id);
        json_set_text(o, "logPath", s.found->log_path);
        if (s.found->state == CONTAINER_RUNNING && s.found->pid > 0) {
                cgroup = cgroup_of(s.found->pid);
                json_set(o, "pid", json_integer(s.found->pid));
                json_set_text(o, "cgroup", cgroup);
                json_set(o, "namespaces", namespaces_json(s.found->pid));
        }
        http_answer_json(x, 200, o);
}

void local_pod_restart(struct http_exchange *x, struct pod_worker *w, const json_t *body)
{
        const char *name = json_text_at(body, "container");
        _cleanup_err_ struct err err = { 0 };
        int n = w ? pod_worker_restart(w, name, &err)
                  : err_set(&err, -EINVAL, "the pod was refused on this node, or waits");

        if (n < 0)
                return local_api_fail(x, n == -ENOENT ? 404 : 409, err_text(&err));
        http_answer_json(x, 200, json_pack("{s:i}", "restarted", n));
}

void local_pod_stop(struct http_exchange *x, struct pod_worker *w, const struct pod *pod)
{
        _cleanup_free_ char *message = NULL;

        if (!pod_is_static(pod)) {
                message = text_printf("pod %s/%s is the API server's: 'kubectl delete pod' ends it",
                                      pod->namespace, pod->name);
                return local_api_fail(x, 409, message ? message : "not a static pod");
        }
        if (!w)
                return local_api_fail(x, 409, "the pod was refused on this node, or waits");
        pod_worker_stop(w);
        http_answer_json(x, 200, json_pack("{s:s}", "stopping", pod->name));
}
