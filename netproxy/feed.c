#include "netproxy/feed.h"

#include <errno.h>
#include <stdlib.h>

#include "base/text.h"

struct source {
        struct kube_watch_options options;
        int (*set)(struct state *s, const char *key, const json_t *object, struct err *err);
        bool is_needed; /* before anything is written */
};

/*
 * Selectors as kube-proxy has them: another proxy's Services and headless ones are not ours; of
 * slices the headless ones carry a label. Servers that know no ServiceCIDR (before 1.33) are fine.
 */
static const struct source sources[] = {
        { { "/api/v1/services", "spec.clusterIP!=None", "!service.kubernetes.io/service-proxy-name",
            "services" },
          state_set_service,
          true },
        { { "/apis/discovery.k8s.io/v1/endpointslices", NULL, "!service.kubernetes.io/headless",
            "endpointslices" },
          state_set_slice,
          true },
        { { "/api/v1/nodes", NULL, NULL, "nodes" }, state_set_node, true },
        { { "/apis/networking.k8s.io/v1/servicecidrs", NULL, NULL, "servicecidrs" },
          state_set_service_cidr,
          false },
};

struct feed {
        struct sync *sync; /* borrowed */
        struct stream {
                struct feed *feed;
                const struct source *source;
                struct kube_watch *watch; /* owned */
                bool is_synced;
        } streams[ARRAY_SIZE(sources)];
};

static int on_event(enum kube_event event, const char *key, const json_t *object, void *userdata,
                    struct err *err)
{
        struct stream *stream = userdata;
        struct state *state = sync_state(stream->feed->sync);
        int r = stream->source->set(state, key, event == KUBE_DELETED ? NULL : object, err);

        if (state_has_changes(state)) /* Nodes come every few minutes with nothing new for us */
                sync_request(stream->feed->sync);
        return r;
}

static bool is_complete(const struct feed *f)
{
        for (size_t i = 0; i < ARRAY_SIZE(f->streams); i++)
                if (f->streams[i].source->is_needed && !f->streams[i].is_synced)
                        return false;
        return true;
}

static void on_list_complete(void *userdata)
{
        struct stream *stream = userdata;

        stream->is_synced = true;
        if (is_complete(stream->feed))
                sync_set_ready(stream->feed->sync);
}

int feed_new(struct kube_session *session, struct sync *sync, struct feed **ret, struct err *err)
{
        static const struct kube_watch_ops ops = { .on_event = on_event,
                                                   .on_synced = on_list_complete };
        _cleanup_(feed_freep)
        struct feed *f = calloc(1, sizeof *f);

        if (!f)
                return err_sys(err, -ENOMEM, "watch the API server");
        f->sync = sync;
        for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
                struct stream *stream = &f->streams[i];
                int r;

                stream->feed = f;
                stream->source = &sources[i];
                r = kube_watch_new(session, &sources[i].options, &ops, stream, &stream->watch, err);
                if (r < 0)
                        return err_wrap(err, r, "watch %s", sources[i].options.what);
        }
        *ret = TAKE_PTR(f);
        return 0;
}

struct feed *feed_free(struct feed *f)
{
        if (!f)
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(f->streams); i++)
                kube_watch_free(f->streams[i].watch);
        free(f);
        return NULL;
}

char *feed_missing(const struct feed *f)
{
        struct strbuf b = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(f->streams); i++)
                if (f->streams[i].source->is_needed && !f->streams[i].is_synced)
                        strbuf_addf(&b, "%s%s", b.len > 0 ? ", " : "",
                                    f->streams[i].source->options.what);
        if (b.len == 0) {
                strbuf_done(&b);
                return NULL;
        }
        return strbuf_take(&b);
}
