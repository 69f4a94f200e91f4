#include <errno.h>
#include <inttypes.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/pod-log.h"
#include "kubelet/pod-sandbox.h"
#include "kubelet/pod-worker-internal.h"
#include "kubelet/runtime-class.h"

static void sandbox_failed(struct pod_worker *w, const struct err *err)
{
        usec_t pause = backoff_next(&w->sandbox_backoff);

        log_pod_warn(w->pod, 0, "Failed to create the sandbox, next try in %" PRIu64 " s: %s",
                     pause / USEC_PER_SEC, err_text(err));
        pod_event(w->ctx, w->pod, NULL, EVENT_WARNING, "FailedCreatePodSandBox",
                  "Failed to create pod sandbox: %s", err_text(err));
        w->sandbox_failures++;
        if (free_and_strdup(&w->sandbox_problem, err_text(err)) < 0)
                log_oom();
        pod_step(&w->timeline, w->pod, -1, "sandbox failed");
        w->sandbox_retry_at = now_monotonic() + pause;
        pod_worker_wake_by(w, w->sandbox_retry_at);
}

static void on_sandbox_run(int r, _unused_ const char *sandbox_id, const struct err *err,
                           void *userdata)
{
        struct pod_worker *w = userdata;

        w->sandbox_op = NULL;
        if (r < 0) {
                sandbox_failed(w, err);
        } else {
                backoff_reset(&w->sandbox_backoff);
                w->sandbox_failures = 0;
                free_and_strdup(&w->sandbox_problem, NULL);
                pod_step(&w->timeline, w->pod, -1, "sandbox");
        }
        pod_worker_poke(w);
}

void pod_worker_ensure_sandbox(struct pod_worker *w, const struct pod_actions *actions)
{
        _cleanup_err_ struct err err = { 0 };
        usec_t now = now_monotonic();
        int r;

        if (w->sandbox_op || w->sandbox_stop_op)
                return;
        if (now < w->sandbox_retry_at) {
                pod_worker_wake_by(w, w->sandbox_retry_at);
                return;
        }
        r = runtime_class_check(w->pod, w->objects, &err);
        if (r == RUNTIME_CLASS_PENDING)
                return; /* the answer is a change */
        if (r < 0) {
                sandbox_failed(w, &err);
                return;
        }
        if (actions->sandbox_changed)
                pod_event(w->ctx, w->pod, NULL, EVENT_NORMAL, "SandboxChanged",
                          "Pod sandbox changed, it will be killed and re-created.");
        if (pod_sandbox_run(w->ctx, w->pod, actions->attempt, on_sandbox_run, w, &w->sandbox_op,
                            &err) < 0)
                sandbox_failed(w, &err);
        else
                pod_resize_set_applied(&w->resize, w->pod);
}

static void on_sandbox_stopped(int r, const struct err *err, void *userdata)
{
        struct pod_worker *w = userdata;

        w->sandbox_stop_op = NULL;
        if (r < 0) {
                log_pod_warn(w->pod, r, "Failed to stop the sandbox, trying again: %s",
                             err_text(err));
                pod_event(w->ctx, w->pod, NULL, EVENT_WARNING, "FailedKillPod",
                          "error killing pod: %s", err_text(err));
                pod_worker_wake_by(w, now_monotonic() + USEC_PER_SEC);
                return;
        }
        pod_step(&w->timeline, w->pod, -1, "sandbox stopped");
        pod_worker_poke(w);
}

bool pod_worker_ensure_sandbox_stopped(struct pod_worker *w, const struct observation *o)
{
        _cleanup_err_ struct err err = { 0 };

        if (w->sandbox_op || w->sandbox_stop_op)
                return false;
        if (!o->seen.has_sandbox || (!o->seen.sandbox_ready && o->seen.n_ready_sandboxes == 0))
                return true;
        if (sandbox_stop(w->ctx->rt, o->seen.sandbox_id, on_sandbox_stopped, w, &w->sandbox_stop_op,
                         &err) < 0)
                on_sandbox_stopped(-EIO, &err, w);
        return false;
}
