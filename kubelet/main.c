/*
 * skiffd: options, configuration, one event loop.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "base/yaml.h"
#include "kubelet/kubelet.h"

/* Standard output and error are a terminal's or a pipe's, not the log's: --version and --help
 * answer there. */
static void print(const char *text)
{
        if (fs_write_all(STDOUT_FILENO, text, strlen(text)) < 0)
                _exit(1);
}

static int load_config(const char *path, struct kubelet_config *ret, struct err *err)
{
        _cleanup_free_ char *dir = path ? strdup(path) : NULL;
        json_auto_t *document = NULL;
        char *slash = dir ? strrchr(dir, '/') : NULL;
        int r;

        if (!path)
                return kubelet_config_decode(NULL, NULL, ret, err);
        r = yaml_parse_file(path, &document, err);
        if (r < 0)
                return r;
        if (slash)
                *slash = '\0';
        r = kubelet_config_decode(document, slash && *dir ? dir : NULL, ret, err);
        return r < 0 ? err_wrap(err, r, "configuration '%s'", path) : 0;
}

static int on_signal(sd_event_source *s, _unused_ const struct signalfd_siginfo *si,
                     _unused_ void *userdata)
{
        log_info("Asked to stop; containers go on");
        return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int watch_signals(sd_event *event, struct err *err)
{
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t mask;

        sigemptyset(&mask);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                sigaddset(&mask, signals[i]);
        sigaddset(&mask, SIGPIPE); /* a peer that went away is an error of the write */
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return err_sys(err, -errno, "block signals");
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
                int r = sd_event_add_signal(event, NULL, signals[i], on_signal, NULL);

                if (r < 0)
                        return err_sys(err, r, "watch signals");
        }
        return 0;
}

/* Not dumpable, no core: secrets pass through this memory. As many descriptors as allowed. */
static void harden(const struct kubelet_config *config)
{
        struct rlimit files = { (rlim_t)config->max_open_files, (rlim_t)config->max_open_files };
        const struct rlimit no_core = { 0, 0 };

        umask(077);
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                log_warn(-errno, "Failed to become undumpable, going on");
        if (setrlimit(RLIMIT_CORE, &no_core) < 0)
                log_warn(-errno, "Failed to forbid core files, going on");
        if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
                struct rlimit now;

                if (getrlimit(RLIMIT_NOFILE, &now) == 0) {
                        now.rlim_cur = now.rlim_max;
                        setrlimit(RLIMIT_NOFILE, &now);
                        log_info("maxOpenFiles %lld is not allowed here, going on with %llu",
                                 (long long)config->max_open_files,
                                 (unsigned long long)now.rlim_max);
                }
        }
}

static void warn_of_fields(const struct kubelet_config *config)
{
        STRV_FOREACH (field, config->unknown)
                log_warn(0, "Configuration: '%s' is unknown and ignored", *field);
        STRV_FOREACH (field, config->ignored)
                log_warn(0, "Configuration: '%s' is not supported and ignored", *field);
}

static int run(const struct options *options, struct err *err)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config config = { 0 };
        _cleanup_(sd_event_unrefp)
        sd_event *event = NULL;
        _cleanup_(kubelet_freep)
        struct kubelet *k = NULL;
        int r = load_config(options->config, &config, err);

        if (r < 0)
                return r;
        harden(&config);
        warn_of_fields(&config);
        r = sd_event_new(&event);
        if (r < 0)
                return err_sys(err, r, "make the event loop");
        r = watch_signals(event, err);
        if (r < 0)
                return r;
        sd_event_set_watchdog(event, true);
        r = kubelet_new(event, options, &config, &k, err);
        if (r < 0)
                return r;
        r = sd_event_loop(event);
        sd_notify(0, "STOPPING=1");
        return r < 0 ? err_sys(err, r, "run the event loop") : 0;
}

int main(int argc, char *argv[])
{
        _cleanup_(options_done)
        struct options options = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r = options_parse(argc, argv, &options, &err);

        log_open("skiffd", options.log_level);
        if (r >= 0 && options.show_help) {
                print(options_help);
                return 0;
        }
        if (r >= 0 && options.show_version) {
                print("Kubernetes " KUBERNETES_VERSION "\nskiffd " SKIFF_VERSION "\n");
                return 0;
        }
        if (r >= 0)
                r = run(&options, &err);
        if (r < 0)
                log_error(0, "%s", err_text(&err));
        return r < 0 ? 1 : 0;
}
