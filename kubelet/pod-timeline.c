#include "kubelet/pod-timeline.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "kubelet/pod-log.h"

void pod_timeline_done(struct pod_timeline *t)
{
        free(t->steps);
        *t = (struct pod_timeline){ 0 };
}

static bool grow(struct pod_timeline *t)
{
        struct timeline_step *grown;
        size_t cap = t->n < 16 ? 16 : TIMELINE_MAX;

        if (t->n != 0 && t->n != 16)
                return true;
        grown = realloc(t->steps, cap * sizeof *grown);
        if (grown)
                t->steps = grown;
        return grown != NULL;
}

void pod_step(struct pod_timeline *t, const struct pod *pod, int container, const char *name)
{
        pod_step_at(t, pod, container, name, 0, 0);
}

void pod_step_at(struct pod_timeline *t, const struct pod *pod, int container, const char *name,
                 uint32_t value, usec_t at)
{
        const struct pod_container *c = container >= 0 ? pod_container_at(pod, (size_t)container)
                                                       : NULL;

        log_pod_full_(pod, c ? c->name : NULL, LOG_DEBUG, 0, "Step: %s", name);
        t->total++;
        if (t->n == TIMELINE_MAX) {
                size_t half = TIMELINE_MAX / 2;

                memmove(t->steps + half, t->steps + half + 1, (half - 1) * sizeof *t->steps);
                t->n--;
        } else if (!grow(t)) {
                return;
        }
        t->steps[t->n++] = (struct timeline_step){ name, (int16_t)container, value,
                                                   at ? at : now_realtime() };
}

json_t *pod_timeline_to_json(const struct pod_timeline *t, const struct pod *pod)
{
        json_t *list = json_array();

        for (size_t i = 0; i < t->n; i++) {
                const struct timeline_step *s = &t->steps[i];
                const struct pod_container *c =
                        s->container >= 0 ? pod_container_at(pod, (size_t)s->container) : NULL;
                char time[TIME_TEXT_MAX];
                json_t *o = json_pack("{s:s, s:s}", "step", s->name, "time",
                                      time_format_micro(s->at, time));

                json_set_text(o, "container", c ? c->name : NULL);
                if (streq(s->name, "exited"))
                        json_set(o, "exitCode", json_integer(s->value));
                else if (s->value)
                        json_set(o, "bytes", json_integer((json_int_t)s->value * 1024));
                json_array_append_new(list, o);
        }
        return list;
}
