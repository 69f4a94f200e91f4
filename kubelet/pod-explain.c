#include "kubelet/pod-explain.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

/* ---- findings ---- */

struct finding { /* strings are owned */
        char *about, *what, *tried, *next;
        const char *help; /* borrowed */
        char *help_text;  /* owned; instead of .help */
        usec_t since, next_at;
};

static void set_time(json_t *o, const char *key, usec_t t)
{
        char text[TIME_TEXT_MAX];

        if (t)
                json_set_text(o, key, time_format(t, text));
}

/* Takes what @f owns. */
static void add(json_t *list, struct finding *f)
{
        json_t *o = json_object();

        json_set_text(o, "about", f->about);
        json_set_text(o, "what", f->what);
        set_time(o, "since", f->since);
        json_set_text(o, "tried", f->tried);
        json_set_text(o, "next", f->next);
        set_time(o, "nextAt", f->next_at);
        json_set_text(o, "help", f->help_text ? f->help_text : f->help);
        json_array_append_new(list, o);
        free(f->about);
        free(f->what);
        free(f->tried);
        free(f->next);
        free(f->help_text);
        *f = (struct finding){ 0 };
}

static char *duration_text(usec_t d)
{
        char text[TIME_TEXT_MAX];

        return strdup(duration_format(d / USEC_PER_SEC * USEC_PER_SEC, text));
}

/* ---- what would help ---- */

struct remedy {
        const char *sign, *help; /* sign: a piece of the message, in small letters */
};

/* The first whose sign is in @message; the last has none and always fits. */
static const char *remedy_of(const struct remedy *r, const char *message)
{
        _cleanup_free_ char *small = strdup(message ? message : "");

        for (char *p = small; p && *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p = (char)(*p - 'A' + 'a');
        while (r->sign && !(small && strstr(small, r->sign)))
                r++;
        return r->help;
}

static const struct remedy pull_remedies[] = {
        { "pull policy of never",
          "bring the image in ('skiff image import FILE'), or let imagePullPolicy be IfNotPresent" },
        { "failed to apply default image tag",
          "the image's name breaks a rule: correct it in the pod's spec" },
        { "unauthorized", "the registry wants credentials: an imagePullSecret of the pod, or "
                          "/etc/skiff/registries.yaml" },
        { "forbidden",
          "the registry knows who asks and says no: other credentials, or another image" },
        { "denied", "the registry says no: an imagePullSecret of the pod, or another image" },
        { "not found", "check the image's name and tag: the registry does not have it" },
        { "unknown", "check the image's name and tag: the registry does not have it" },
        { "certificate",
          "the registry's certificate is not trusted: name its CA in /etc/skiff/registries.yaml" },
        { "resolve", "the registry's name does not resolve: check DNS on this node" },
        { "no space", "free disk space: 'skiff images' lists what is here, 'skiff image rm' "
                      "removes an image" },
        { "refused", "nobody answers at the registry's address: check that it is up, or name a "
                     "mirror in /etc/skiff/registries.yaml" },
        { "timed out", "the registry does not answer: check the network and proxies of this node" },
        { "digest", "what the registry sent is not what it promised: push the image again, or use "
                    "another registry" },
        { NULL, "try it by hand and see: 'skiff image pull IMAGE'" },
};

static const struct remedy start_remedies[] = {
        { "configmap", "create the ConfigMap, or mark it optional: the pod goes on at once" },
        { "secret", "create the Secret, or mark it optional: the pod goes on at once" },
        { "couldn't find key", "add the key to the object, or mark it optional" },
        { "runasnonroot",
          "the image runs as root: set securityContext.runAsUser, or use another image" },
        { "no such file",
          "the command does not exist in the image: check 'command' and the image" },
        { "not found", "the command does not exist in the image: check 'command' and the image" },
        { "permission denied", "the command may not be run: check its mode in the image" },
        { "exec format",
          "the program is for another kind of machine: use an image of this platform" },
        { NULL, "see the message, and the events of the pod: 'skiff events POD'" },
};

static const struct remedy volume_remedies[] = {
        { "pvc is not bound", "a PersistentVolume that fits the claim, or a provisioner of its "
                              "StorageClass: 'kubectl describe pvc' says what it lacks" },
        { "failed to fetch pvc", "create the PersistentVolumeClaim" },
        { "pvc is being deleted", "another PersistentVolumeClaim: this one is going" },
        { "pod is not owner", "delete the claim of that name: the pod's own takes its place" },
        { "readwriteoncepod", "the other pod that has the volume must go first" },
        { "no matching nodeselectorterms", "the volume belongs to another node" },
        { "is not attached", "the attach/detach controller attaches it: see the VolumeAttachment" },
        { "not supported", "this kind of volume is not supported here: use another kind" },
        { "configmap", "create the ConfigMap, or mark it optional" },
        { "secret", "create the Secret, or mark it optional" },
        { "hostpath", "make the path on this node, or let its type make it "
                      "(DirectoryOrCreate, FileOrCreate)" },
        { NULL, "see the message" },
};

static const struct remedy sandbox_remedies[] = {
        { "podcidr", "the node has no podCIDR: let the controller manager allocate one "
                     "(--allocate-node-cidrs), or set podCIDR in the configuration" },
        { "network", "see 'skiff node' for the state of the pod network" },
        { "sysctl", "allow the sysctl on this node (allowedUnsafeSysctls), or leave it away" },
        { "address already in use", "something else has the host port: 'ss -lntup' says who" },
        { NULL, "see the message, and skiffd's log: 'journalctl -u skiffd'" },
};

static const struct remedy refusal_remedies[] = {
        { "outof", "make room on this node (fewer pods, smaller requests), then delete the pod and "
                   "let its controller make it anew" },
        { "reclaim resources",
          "make room on this node (fewer pods, smaller requests), then make the pod "
          "anew" },
        { "nodeaffinity",
          "the node's labels do not fit the pod's nodeSelector or affinity: change either" },
        { "taint", "the pod does not tolerate a taint of this node: add a toleration" },
        { "sysctl", "allow the sysctl on this node (allowedUnsafeSysctls), or leave it away" },
        { NULL, "change what is named in the message, then make the pod anew" },
};

/* ---- a container on its way in ---- */

static bool is_pull_reason(const char *reason)
{
        static const char *const reasons[] = { "ErrImagePull",      "ImagePullBackOff",
                                               "InvalidImageName",  "RegistryUnavailable",
                                               "ErrImageNeverPull", "ImageInspectError" };

        for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
                if (streq(reason, reasons[i]))
                        return true;
        return false;
}

static char *about_container(const struct explain_container *c)
{
        return text_printf("%scontainer '%s'", c->is_init ? "init " : "", c->name);
}

static void tell_failed_start(const struct explain_container *c, json_t *list)
{
        const bool is_pull = is_pull_reason(c->waiting_reason);
        const struct remedy *remedies = is_pull ? pull_remedies : start_remedies;
        struct finding f = { .about = about_container(c) };

        f.what = is_pull ? text_printf("%s: its image '%s' could not be had", c->waiting_reason,
                                       c->image ? c->image : "?")
                         : text_printf("%s: it could not be started", c->waiting_reason);
        f.tried = text_printf("%u time%s in a row; the last time: %s", c->failures,
                              c->failures == 1 ? "" : "s",
                              c->waiting_message ? c->waiting_message : "no message");
        f.next = strdup(is_pull ? "the image is asked for again" : "it is tried again");
        f.next_at = c->retry_at;
        f.since = c->step_since;
        f.help = remedy_of(remedies, c->waiting_message);
        add(list, &f);
}

static void tell_start(const struct explain_pod *p, const struct explain_container *c, json_t *list)
{
        struct finding f = { .about = about_container(c), .since = c->step_since };

        switch (c->step) {
        case EXPLAIN_PULL_SECRETS:
                f.what = strdup("its imagePullSecrets are read from the API server");
                f.next = text_printf("then its image '%s'", c->image ? c->image : "?");
                break;
        case EXPLAIN_IMAGE:
                f.what = text_printf("%s image '%s'", c->is_pulling ? "pulling" : "looking for",
                                     c->image ? c->image : "?");
                f.next = strdup("then it is created");
                break;
        case EXPLAIN_TURN:
                if (p->n_volumes || !p->sandbox_ready)
                        return free(f.about); /* told as such */
                f.what = strdup("its image is here; containers before it are being started");
                break;
        case EXPLAIN_CONFIG:
                if (p->objects_pending || p->objects_problem || p->services_pending)
                        return free(f.about); /* told as such */
                f.what = strdup("its configuration is put together");
                break;
        case EXPLAIN_CREATE:
                f.what = strdup("it is being created");
                break;
        case EXPLAIN_START:
                f.what = strdup("it is created, and being started");
                break;
        case EXPLAIN_HOOK:
                f.what = strdup("its postStart hook runs");
                f.next = strdup("when that fails the container is killed; until it ends the "
                                "container is not ready");
                break;
        default:
                return free(f.about);
        }
        add(list, &f);
}

/* ---- a container that ran, or runs ---- */

static char *end_text(const struct explain_container *c)
{
        return text_printf("ended with exit code %d%s after %" PRIu32 " restart%s", c->exit_code,
                           c->oom_killed ? " (out of memory)" : "", c->restarts,
                           c->restarts == 1 ? "" : "s");
}

static void tell_backoff(const struct explain_pod *p, const struct explain_container *c,
                         json_t *list)
{
        _cleanup_free_ char *pause = duration_text(c->backoff_usec);
        struct finding f = { .about = about_container(c),
                             .what = strdup("CrashLoopBackOff: it ends again and again"),
                             .since = c->exited_at,
                             .tried = end_text(c),
                             .next_at = c->backoff_until };

        f.next = text_printf("it is started again after a pause of %s", pause ? pause : "?");
        if (c->oom_killed)
                f.help = "it needs more memory than its limit: raise resources.limits.memory";
        else if (c->exit_code == 126 || c->exit_code == 127)
                f.help = "its command was not found or may not be run: check 'command' and the "
                         "image";
        else
                f.help_text = text_printf("see why it ended: skiff logs %s/%s/%s --previous",
                                          p->namespace, p->name, c->name);
        add(list, &f);
}

static void tell_probe(const struct explain_pod *p, const struct explain_container *c,
                       const struct explain_probe *probe, const char *kind, const char *effect,
                       json_t *list)
{
        struct finding f = { .about = about_container(c), .next_at = probe->next_at };

        f.what = text_printf("its %s probe has %s", kind,
                             probe->run == 0      ? "not been made yet"
                             : probe->last_passed ? "not succeeded often enough yet"
                             : probe->is_decided  ? "failed"
                                                  : "not succeeded yet");
        f.since = c->started_at;
        if (probe->run)
                f.tried = text_printf("the last %" PRIu32 " attempt%s %s", probe->run,
                                      probe->run == 1 ? "" : "s",
                                      probe->last_passed ? "succeeded" : "failed");
        f.next = text_printf("the next attempt; %s", effect);
        if (probe->run && !probe->last_passed)
                f.help_text = text_printf("what the probe said: skiff events %s/%s", p->namespace,
                                          p->name);
        add(list, &f);
}

static void tell_running(const struct explain_pod *p, const struct explain_container *c,
                         json_t *list)
{
        if (c->startup.exists && !c->startup.is_fine) {
                _cleanup_free_ char *effect = text_printf("after %" PRIu32
                                                          " failures in a row it is killed",
                                                          c->startup.threshold);

                tell_probe(p, c, &c->startup, "startup", effect ? effect : "", list);
                return;
        }
        if (c->liveness.exists && c->liveness.run && !c->liveness.last_passed) {
                _cleanup_free_ char *effect = text_printf("after %" PRIu32
                                                          " failures in a row it is killed",
                                                          c->liveness.threshold);

                tell_probe(p, c, &c->liveness, "liveness", effect ? effect : "", list);
        }
        if (c->readiness.exists && !c->readiness.is_fine)
                tell_probe(p, c, &c->readiness, "readiness",
                           "no Service sends anything here before it succeeds", list);
}

static void tell_stop(const struct explain_container *c, json_t *list)
{
        struct finding f = { .about = about_container(c),
                             .since = c->stop_since,
                             .next_at = c->stop_deadline };

        switch (c->stop) {
        case EXPLAIN_PRE_STOP:
                f.what = strdup("its preStop hook runs");
                f.next = strdup("the stop signal when the hook has ended, at the latest");
                break;
        case EXPLAIN_STOP_TURN:
                f.what = strdup("a sidecar: it is stopped when the others have ended");
                f.next = strdup("the stop signal, at the latest");
                break;
        case EXPLAIN_SIGNALED:
                f.what = strdup("it was sent its stop signal and has not ended yet");
                f.next = strdup("SIGKILL");
                f.help = "a program that ends at its stop signal does not wait for this";
                break;
        case EXPLAIN_KILLED:
                f.what = strdup("it was sent SIGKILL and has not ended yet");
                f.next = strdup("SIGKILL is sent again");
                f.next_at = 0;
                f.help = "a process in uninterruptible sleep (a dead NFS server, a broken disk) "
                         "cannot be killed before its I/O ends";
                break;
        default:
                return free(f.about);
        }
        add(list, &f);
}

static void tell_container(const struct explain_pod *p, const struct explain_container *c,
                           json_t *list)
{
        if (c->stop != EXPLAIN_NO_STOP)
                tell_stop(c, list);
        else if (p->state != EXPLAIN_SYNCING)
                return;
        else if (c->backoff_until > p->now)
                tell_backoff(p, c, list);
        else if (c->step != EXPLAIN_NO_START)
                tell_start(p, c, list);
        else if (c->is_running)
                tell_running(p, c, list);
        else if (c->waiting_reason)
                tell_failed_start(c, list);
}

/* ---- the pod itself ---- */

static char *about_pod(void)
{
        return strdup("pod");
}

static void tell_sandbox(const struct explain_pod *p, json_t *list)
{
        struct finding f = { .about = about_pod(), .next_at = p->sandbox_retry_at };

        if (p->sandbox_ready)
                return free(f.about);
        if (p->sandbox_problem) {
                f.what = strdup("its sandbox (namespaces and network) could not be made");
                f.tried = text_printf("%u time%s in a row; the last time: %s", p->sandbox_failures,
                                      p->sandbox_failures == 1 ? "" : "s", p->sandbox_problem);
                f.next = strdup("it is tried again");
                f.help = remedy_of(sandbox_remedies, p->sandbox_problem);
        } else if (p->sandbox_under_way) {
                f.what = strdup("its sandbox (namespaces and network) is being made");
        } else {
                return free(f.about);
        }
        add(list, &f);
}

static void tell_volumes(const struct explain_pod *p, json_t *list)
{
        for (size_t i = 0; i < p->n_volumes; i++) {
                const struct explain_volume *v = &p->volumes[i];
                struct finding f = { .about = text_printf("volume '%s'", v->name),
                                     .since = p->seen_at };

                f.what = strdup(v->problem ? "it could not be set up" : "it is being set up");
                f.tried = v->problem ? text_printf("the last time: %s", v->problem) : NULL;
                f.next = v->problem ? strdup("it is tried again, by itself and when what it needs "
                                             "appears; no container starts before")
                                    : NULL;
                f.help = v->problem ? remedy_of(volume_remedies, v->problem) : NULL;
                add(list, &f);
        }
}

static void tell_objects(const struct explain_pod *p, json_t *list)
{
        struct finding f = { .about = about_pod(), .since = p->seen_at };

        if (p->objects_problem) {
                f.what = strdup("a ConfigMap or Secret of its environment cannot be read");
                f.tried = text_printf("the last time: %s", p->objects_problem);
                f.next = strdup("it is tried again");
        } else if (p->objects_pending) {
                f.what = text_printf("waits for the API server's answer about %s",
                                     p->objects_pending);
                f.help = "is the API server there? 'skiff node' says so";
        } else if (p->services_pending) {
                f.what = strdup("waits for the list of Services, which its environment needs");
                f.help = "is the API server there? 'skiff node' says so";
        } else {
                return free(f.about);
        }
        add(list, &f);
}

static void tell_end(const struct explain_pod *p, json_t *list)
{
        struct finding f = { .about = about_pod(), .since = p->state_since };

        if (p->state == EXPLAIN_TERMINATED) {
                f.what = strdup("nothing of it runs any more; volumes and cgroup are taken down");
                f.tried = p->cleanup_problem ? text_printf("the last time: %s", p->cleanup_problem)
                                             : NULL;
                f.next = p->cleanup_problem ? strdup("it is tried again") : NULL;
                f.next_at = p->cleanup_retry_at;
                f.help = p->cleanup_problem
                                 ? "something still uses a volume: 'fuser -vm PATH' says what"
                                 : NULL;
        } else {
                f.what = text_printf("it is being stopped%s%s", p->state_why ? ": " : "",
                                     p->state_why ? p->state_why : "");
        }
        add(list, &f);
}

static json_t *refused(const struct explain_pod *p, json_t *list)
{
        _cleanup_free_ char *why = text_printf("%s: %s", p->refusal_reason,
                                               p->refusal_message ? p->refusal_message : "");
        struct finding f = {
                .about = about_pod(),
                .what = text_printf("refused on this node: %s", p->refusal_reason),
                .tried = strdup_null(p->refusal_message),
                .next = strdup("nothing: a pod that was refused is not tried again"),
                .help = remedy_of(refusal_remedies, why),
        };

        add(list, &f);
        return json_pack("{s:s, s:o}", "summary", "It was refused at admission.", "waits", list);
}

static size_t count_ready(const struct explain_pod *p)
{
        size_t n = 0;

        for (size_t i = 0; i < p->n_containers; i++)
                n += p->containers[i].is_ready;
        return n;
}

static char *summary_of(const struct explain_pod *p, size_t n_findings)
{
        static const char *const ends[] = { [EXPLAIN_TERMINATING] = "It is being stopped",
                                            [EXPLAIN_TERMINATED] = "It has ended and is cleaned up",
                                            [EXPLAIN_FINISHED] = "It has ended" };

        if (p->state == EXPLAIN_FINISHED)
                return text_printf("It has ended; nothing of it runs and nothing is waited for%s.",
                                   p->is_static ? "" : ", but for the API server to forget it");
        if (p->state != EXPLAIN_SYNCING)
                return text_printf("%s%s%s.", ends[p->state], p->state_why ? ": " : "",
                                   p->state_why ? p->state_why : "");
        if (n_findings == 0)
                return text_printf("It runs, and waits for nothing (%zu of %zu containers ready).",
                                   count_ready(p), p->n_containers);
        return text_printf("It waits for %zu thing%s (%zu of %zu containers ready).", n_findings,
                           n_findings == 1 ? "" : "s", count_ready(p), p->n_containers);
}

json_t *pod_explain(const struct explain_pod *p)
{
        json_t *list = json_array();
        _cleanup_free_ char *summary = NULL;

        if (!list)
                return NULL;
        if (p->refusal_reason)
                return refused(p, list);
        if (p->waits_for_predecessor) {
                struct finding f = { .about = about_pod(),
                                     .what = strdup("waits until the pod of the same name that its "
                                                    "manifest replaced is gone"),
                                     .since = p->seen_at };

                add(list, &f);
        }
        if (p->state == EXPLAIN_SYNCING) {
                tell_volumes(p, list);
                tell_sandbox(p, list);
                tell_objects(p, list);
        } else if (p->state != EXPLAIN_FINISHED) {
                tell_end(p, list);
        }
        for (size_t i = 0; i < p->n_containers; i++)
                tell_container(p, &p->containers[i], list);
        summary = summary_of(p, json_array_size(list));
        return json_pack("{s:s, s:o}", "summary", summary ? summary : "", "waits", list);
}
