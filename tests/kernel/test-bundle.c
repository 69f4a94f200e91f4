/* Bundles are the field's: one of ours runs under crun, and one of crun's under us. */
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/text.h"
#include "tests/kernel/runtime-rig.h"

static char sandbox[RUNTIME_ID_SIZE], bundle[128];

static void run_sandbox(const char *hostname)
{
        struct sandbox_config config = { .hostname = hostname, .cgroup_parent = "kubepods/pod1" };
        struct rig_answer a = rig_run_sandbox(&config);

        if (a.r < 0)
                fail_msg("sandbox: %s", a.text);
        memcpy(sandbox, a.id, sizeof sandbox);
}

/* A fresh directory with busybox's tree as rootfs. */
static void make_bundle(void)
{
        static const char *const targets[] = { "dev", "proc", "sys" };
        static unsigned n;
        char rootfs[160], image[96];

        snprintf(bundle, sizeof bundle, "%s/bundle-%u", rig_dir, n++);
        snprintf(rootfs, sizeof rootfs, "%s/rootfs", bundle);
        snprintf(image, sizeof image, "%s/image/busybox", rig_dir);
        CHECK(mkdir(bundle, 0755) == 0 && mkdir(rootfs, 0755) == 0);
        CHECK(mount(image, rootfs, NULL, MS_BIND, NULL) == 0);
        for (size_t i = 0; i < ARRAY_SIZE(targets); i++) { /* as every image has them */
                char path[200];

                snprintf(path, sizeof path, "%s/%s", rootfs, targets[i]);
                mkdir(path, 0755);
        }
}

struct run {
        bool done;
        int exit_code;
        char text[8192];
};

static void on_end(_unused_ struct child *c, const struct child_result *result, void *userdata)
{
        struct run *run = userdata;

        run->exit_code = result->exit_code;
        snprintf(run->text, sizeof run->text, "%s%s", result->output, result->errors);
        run->done = true;
}

static struct run run_program(const char *const *argv)
{
        struct child_options options = { .argv = argv, .timeout_usec = 10 * USEC_PER_SEC };
        struct child *c = NULL;
        struct run run = { 0 };

        CHECK(child_spawn(rig_event, &options, on_end, &run, &c, NULL) == 0);
        rig_wait(&run.done);
        child_free(c);
        return run;
}

static void need_crun(void)
{
        if (access("/usr/bin/crun", X_OK) < 0)
                check_skip_all("needs crun");
}

static void replace_args(struct oci_spec *spec, const char *script)
{
        const char *argv[] = { "/bin/sh", "-c", script };

        spec->process.args = strv_free(spec->process.args);
        for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
                CHECK(strv_append(&spec->process.args, argv[i]) == 0);
}

TEST(a_bundle_of_crun_runs_under_ours)
{
        const char *argv[] = { "/usr/bin/env", "-C", bundle, "/usr/bin/crun", "spec", NULL };
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *text = NULL;
        json_t *doc = NULL;
        char config[160];
        struct oci_spec spec;
        const char *id;
        size_t n;

        need_crun();
        rig_up();
        make_bundle();
        CHECK_INT(run_program(argv).exit_code, 0);
        snprintf(config, sizeof config, "%s/config.json", bundle);
        CHECK(fs_read_at(AT_FDCWD, config, 65536, &text, &n) == 0);
        CHECK(json_parse(text, n, true, &doc, NULL) == 0);
        oci_spec_init(&spec);
        if (oci_spec_parse(doc, &spec, &err) < 0)
                fail_msg("%s", err_text(&err));
        json_decref(doc);
        CHECK_STR(spec.root_path, "rootfs");
        free(spec.root_path);
        spec.root_path = text_printf("%s/rootfs", bundle);
        spec.process.terminal = false;
        replace_args(&spec, "hostname; id -u; echo $$; touch /x || echo cannot write;"
                            "grep NoNewPrivs /proc/self/status; ls /dev; exit 4");
        run_sandbox(spec.hostname);
        id = rig_begin(sandbox, &spec);
        CHECK_INT(rig_wait_exit(id)->exit_code, 4);
        CHECK_CONTAINS(rig_log_of(id), "crun\n0\n1\n");
        CHECK_CONTAINS(rig_log_of(id), "cannot write");
        CHECK_CONTAINS(rig_log_of(id), "NoNewPrivs:\t1");
        CHECK_CONTAINS(rig_log_of(id), "urandom");
        rig_down();
}

/* crun 1.8 knows no hybrid hierarchy, but gets along with what is left of one without its v2 part.
 * The mount namespace is ours alone; nothing of ours runs in it any more. */
static void please_crun(void)
{
        umount2("/sys/fs/cgroup/unified", MNT_DETACH);
}

TEST(a_bundle_of_ours_runs_under_crun)
{
        char config[160], name[64];
        const char *argv[] = {
                "/usr/bin/crun", "--cgroup-manager=cgroupfs", "run", "--bundle", bundle, name, NULL
        };
        _cleanup_free_ char *text = NULL;
        struct oci_spec spec;
        struct rig_answer a;
        json_t *doc = NULL;
        struct run run;

        need_crun();
        rig_up();
        run_sandbox("ours");
        rig_make_spec(&spec, "id -u; id -G; grep Seccomp: /proc/self/status; echo $WORD;"
                             "touch /x || echo cannot write; exit 3");
        spec.process.uid = 1000;
        spec.process.gid = 100;
        spec.process.no_new_privileges = spec.root_readonly = true;
        CHECK(strv_append(&spec.process.env, "WORD=spoken") == 0);
        a = rig_create(sandbox, &spec);
        CHECK_INT(a.r, 0);
        CHECK(container_inspect(rig, a.id, &doc, NULL) == 0);
        make_bundle();
        snprintf(config, sizeof config, "%s/config.json", bundle);
        text = json_dumps(doc, 0);
        json_decref(doc);
        CHECK(fs_replace_at(AT_FDCWD, config, text, strlen(text), 0600, false) == 0);
        rig_down();
        snprintf(name, sizeof name, "skiff-test-%d", getpid());
        please_crun();
        run = run_program(argv);
        if (run.exit_code != 3)
                print_message("crun says: %s\n", run.text);
        CHECK_INT(run.exit_code, 3);
        CHECK_CONTAINS(run.text, "1000\n");
        CHECK_CONTAINS(run.text, "Seccomp:\t2");
        CHECK_CONTAINS(run.text, "spoken");
        CHECK_CONTAINS(run.text, "cannot write");
}
