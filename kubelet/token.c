#include "kubelet/token.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

#define MAX_AGE_USEC     (24 * 3600 * USEC_PER_SEC)
#define RETRY_FIRST_USEC (20 * USEC_PER_MSEC)
#define RETRY_MAX_USEC   (10 * USEC_PER_SEC)

struct token {
        struct kube_session *session; /* borrowed */
        char *path, *text, *error;    /* owned */
        json_t *request;              /* owned; the TokenRequest */
        struct kube_call *call;       /* owned */
        sd_event_source *timer;       /* owned */
        struct backoff backoff;
        void (*changed)(struct token *t, void *userdata);
        void *userdata;
};

usec_t token_refresh_at(usec_t now, usec_t expires_at)
{
        usec_t life = expires_at > now ? expires_at - now : 0;

        return now + MIN(life / 10 * 8, MAX_AGE_USEC);
}

static void wipe(char **text)
{
        if (*text)
                explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
}

static void ask_in(struct token *t, usec_t pause)
{
        sd_event_source_set_time(t->timer, now_monotonic() + pause);
        sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
}

static void take_token(struct token *t, const char *text, usec_t expires_at)
{
        usec_t now = now_realtime();

        wipe(&t->text);
        t->text = strdup(text);
        free_and_strdup(&t->error, NULL);
        backoff_reset(&t->backoff);
        ask_in(t, token_refresh_at(now, expires_at) - now);
        t->changed(t, t->userdata);
}

static void on_done(_unused_ struct kube_call *call, int status, json_t *object,
                    const struct err *err, void *userdata)
{
        struct token *t = userdata;
        const json_t *answer = json_object_get(object, "status");
        const char *text = json_text_at(answer, "token");
        const char *expires = json_text_at(answer, "expirationTimestamp");
        usec_t expires_at;

        t->call = NULL;
        if (status == 201 && text && expires && time_parse(expires, &expires_at) == 0) {
                take_token(t, text, expires_at);
                return;
        }
        ask_in(t, backoff_next(&t->backoff));
        /* the authorizer may not have seen the binding yet: no word about the first few refusals */
        if (t->text || t->backoff.current_usec < USEC_PER_SEC / 4)
                return;
        free_and_strdup(&t->error, err_text(err));
        t->changed(t, t->userdata);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct token *t = userdata;
        const struct kube_request request = { .method = "POST",
                                              .path = t->path,
                                              .body = t->request,
                                              .done = on_done,
                                              .userdata = t };

        if (!t->call && kube_start(t->session, &request, &t->call, NULL) < 0)
                ask_in(t, backoff_next(&t->backoff));
        return 0;
}

int token_new(struct kube_session *session, const struct token_options *o, struct token **ret)
{
        _cleanup_(token_freep)
        struct token *t = calloc(1, sizeof *t);
        int r;

        if (!t)
                return -ENOMEM;
        *t = (struct token){
                .session = session,
                .path = text_printf("/api/v1/namespaces/%s/serviceaccounts/%s/token", o->namespace,
                                    o->service_account),
                .request = json_pack("{s:s, s:s, s:{s:o, s:I, s:{s:s, s:s, s:s, s:s}}}",
                                     "apiVersion", "authentication.k8s.io/v1", "kind",
                                     "TokenRequest", "spec", "audiences",
                                     o->audience ? json_pack("[s]", o->audience) : json_array(),
                                     "expirationSeconds", (json_int_t)o->expiration_sec,
                                     "boundObjectRef", "apiVersion", "v1", "kind", "Pod", "name",
                                     o->pod_name, "uid", o->pod_uid),
                .backoff = { RETRY_FIRST_USEC, RETRY_MAX_USEC, 0 },
                .changed = o->changed,
                .userdata = o->userdata,
        };
        if (!t->path || !t->request)
                return -ENOMEM;
        r = sd_event_add_time(kube_session_event(session), &t->timer, CLOCK_MONOTONIC, 0,
                              ACCURACY_USEC, on_timer, t);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

struct token *token_free(struct token *t)
{
        if (!t)
                return NULL;
        kube_cancel(t->call);
        sd_event_source_disable_unref(t->timer);
        wipe(&t->text);
        json_decref(t->request);
        free(t->path);
        free(t->error);
        free(t);
        return NULL;
}

const char *token_text(const struct token *t)
{
        return t->text;
}

const char *token_error(const struct token *t)
{
        return t->error ? t->error : "";
}
