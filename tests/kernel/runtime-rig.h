/*
 * A whole runtime over fresh directories, in namespaces of the test's own: what kubelet/ would see.
 * Calls wait on the event loop until their callback has come.
 */
#pragma once
#include "runtime/runtime.h"
#include "tests/check.h"

extern struct runtime *rig;
extern sd_event *rig_event;
extern char rig_dir[64];          /* tmpfs: run/, state/, image/, log/ */
extern char rig_network[64];      /* podCIDRs given at a start; "": none */
extern const char rig_image_id[]; /* of the image of containers: busybox; "sha256:data" (two
                                     layers) and "sha256:base" (one) hold files */

/* How many containers hold it. */
int rig_image_holds(const char *image_id);

/* Once per program: namespaces, directories, an image. Then (again and again) a runtime. */
void rig_up(void);
/* runtime_free() and runtime_new(): what lives goes on. Waits until it is ready. */
void rig_restart(void);
/* The two halves, to do something between them. */
void rig_let_go(void);
void rig_take_up(void);
/* Stops and removes all sandboxes and looks that nothing is left. */
void rig_down(void);

struct rig_answer {
        bool done;
        int r;
        enum err_kind kind;
        char text[4096], id[RUNTIME_ID_SIZE];
};
/* Runs the loop until *done, or fails the test after 15 s. */
void rig_wait(const bool *done);
/* Runs the loop for a while. */
void rig_idle(unsigned msec);

/* Their answers; the id is "" on failure. */
struct rig_answer rig_run_sandbox(const struct sandbox_config *config); /* NULL: a plain one */
struct rig_answer rig_create(const char *sandbox_id, struct oci_spec *spec);
/* The same of a whole configuration; its spec is done after. */
struct rig_answer rig_create_from(const char *sandbox_id, const struct container_config *config);
struct rig_answer rig_start(const char *id);
struct rig_answer rig_stop(const char *sandbox_id);
/* Create and start; the test fails when that does. Returns an id that stays good for 32 calls. */
const char *rig_begin(const char *sandbox_id, struct oci_spec *spec);
const char *rig_begin_shell(const char *sandbox_id, const char *script);
/* Until the container is EXITED. */
const struct container_status *rig_wait_exit(const char *id);

/* A container as the agent makes one: all confinement, busybox's sh with @script. */
void rig_make_spec(struct oci_spec *spec, const char *script);
const char *rig_log_of(const char *id); /* its output without the prefixes of the lines; static */

extern unsigned rig_container_changes, rig_sandbox_changes; /* events heard */
extern char rig_last_changed[RUNTIME_ID_SIZE];
