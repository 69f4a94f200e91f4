/*
 * The one table of verbs, and that of their flags. Help, man pages and completion are made of it.
 */
#include "cli/verbs.h"

/* clang-format off */
const struct flag flags[_FLAG_MAX] = {
        [FLAG_NAMESPACE]  = { 'n', "namespace", "NS", "only this namespace" },
        [FLAG_OUTPUT]     = { 'o', "output", "FORMAT", "json, yaml, wide or name" },
        [FLAG_WATCH]      = { 'w', "watch", NULL, "go on, and show what changes" },
        [FLAG_NO_HEADERS] = { 0, "no-headers", NULL, "tables without headings" },
        [FLAG_CONTAINER]  = { 'c', "container", "NAME", "this container instead of the pod's first" },
        [FLAG_FOLLOW]     = { 'f', "follow", NULL, "go on while the container writes" },
        [FLAG_PREVIOUS]   = { 'p', "previous", NULL, "of the run before the last restart" },
        [FLAG_TAIL]       = { 0, "tail", "N", "the last N lines; -1: all" },
        [FLAG_SINCE]      = { 0, "since", "DURATION", "what is newer, such as 5m or 1h30m" },
        [FLAG_TIMESTAMPS] = { 0, "timestamps", NULL, "each line begins with its time" },
        [FLAG_SOCKET]     = { 0, "socket", "PATH", "skiffd's socket ($SKIFF_SOCKET, /run/skiff/skiff.sock)" },
        [FLAG_HELP]       = { 'h', "help", NULL, "say this and end" },
        [FLAG_VERSION]    = { 0, "version", NULL, "print the version and end" },
};
/* clang-format on */

#define NEEDS_ROOT "It needs root."

const struct verb verbs[] = {
        {
                .name = "pods",
                .arguments = "",
                .help = "list the pods of this node",
                .description = "Lists the pods that this node has, as kubectl get pods does, with "
                               "the status that skiffd computed last. It works with the API server "
                               "away.",
                .examples = { { "skiff pods -n kube-system -o wide", "with addresses and uids" },
                              { "skiff pods --watch", "and what changes from now on" } },
                .flags = FLAGS_LIST | FLAG(NAMESPACE),
                .run = verb_pods,
        },
        {
                .name = "pod",
                .arguments = "POD",
                .help = "one pod: containers, states, reasons, conditions",
                .description =
                        "Shows all that skiffd knows of a pod. With -o json or yaml it is "
                        "the v1.Pod, and what is Skiff's own stands under the key \"skiff\".",
                .examples = { { "skiff pod kube-system/coredns", "by the beginning of its name" } },
                .flags = FLAG(OUTPUT) | FLAG(NAMESPACE),
                .min_words = 1,
                .max_words = 1,
                .words = WORD_POD,
                .run = verb_pod,
        },
        {
                .name = "containers",
                .arguments = "[POD]",
                .help = "list the containers of this node, or of a pod",
                .description = "One row for each container of the pods' specs: state, restarts, "
                               "last end, image. -o wide adds ids, process ids and log files.",
                .examples = { { "skiff containers -o wide", "with ids and where logs are" } },
                .flags = FLAGS_LIST | FLAG(NAMESPACE),
                .max_words = 1,
                .words = WORD_POD,
                .run = verb_containers,
        },
        {
                .name = "logs",
                .arguments = "POD [CONTAINER]",
                .help = "what a container has written",
                .description =
                        "Prints a container's log from its files, across their rotation. "
                        "The container's standard output goes to standard output and so does "
                        "its standard error.",
                .examples = { { "skiff logs web -f --tail 20", "the last lines, and what comes" },
                              { "skiff logs web --previous", "why it ended the last time" } },
                .flags = FLAG(NAMESPACE) | FLAG(CONTAINER) | FLAG(FOLLOW) | FLAG(PREVIOUS) |
                         FLAG(TAIL) | FLAG(SINCE) | FLAG(TIMESTAMPS),
                .min_words = 1,
                .max_words = 2,
                .words = WORD_POD,
                .run = verb_logs,
        },
        {
                .name = "exec",
                .arguments = "POD -- COMMAND [ARG]...",
                .help = "run a command in a container",
                .description = "Runs a command in a running container, with the container's own "
                               "user, environment and confinement. " NEEDS_ROOT,
                .examples = { { "skiff exec web -- ls /", "in the pod's first container" } },
                .exit_codes = "the command's own once it was started (128 and the signal's number "
                              "when one ended it)",
                .flags = FLAG(NAMESPACE) | FLAG(CONTAINER),
                .min_words = 2,
                .max_words = 4096,
                .words = WORD_POD,
                .run = verb_exec,
        },
        {
                .name = "images",
                .arguments = "",
                .help = "list the images of this node",
                .flags = FLAGS_LIST,
                .run = verb_images,
        },
        {
                .name = "image pull",
                .arguments = "NAME",
                .help = "fetch an image",
                .description = "Fetches an image from its registry, or from a mirror that "
                               "/etc/skiff/registries.yaml names. " NEEDS_ROOT,
                .examples = { { "skiff image pull docker.io/library/busybox:1.37", "by its tag" } },
                .min_words = 1,
                .max_words = 1,
                .words = WORD_IMAGE,
                .run = verb_image_pull,
        },
        {
                .name = "image import",
                .arguments = "FILE [NAME]",
                .help = "bring in images from an archive",
                .description =
                        "Brings in what docker save, skopeo or ctr image export wrote: an OCI "
                        "layout or a docker archive, a plain tar file. One line is printed for "
                        "each image: its id, its size and its names. NAME is what the image is "
                        "called instead of what the archive says; the archive must hold one image "
                        "then. " NEEDS_ROOT,
                .examples = { { "skiff image import busybox.tar", "with the names in it" },
                              { "skiff image import app.tar app:2", "under another name" } },
                .min_words = 1,
                .max_words = 2,
                .words = WORD_FILE,
                .run = verb_image_import,
        },
        {
                .name = "image rm",
                .arguments = "NAME",
                .help = "remove an image",
                .description = "Takes a name from an image, and removes the image with its last "
                               "one; an id removes it with all its names. What a container uses "
                               "stays. " NEEDS_ROOT,
                .min_words = 1,
                .max_words = 1,
                .words = WORD_IMAGE,
                .run = verb_image_rm,
        },
        {
                .name = "node",
                .arguments = "",
                .help = "what this node is and how it is connected",
                .flags = FLAG(OUTPUT),
                .run = verb_node,
        },
        {
                .name = "events",
                .arguments = "[POD]",
                .help = "the newest events of this node, or of a pod",
                .description = "The events that skiffd made, also those that the API server has "
                               "not got (yet).",
                .examples = { { "skiff events -w", "and those to come" } },
                .flags = FLAGS_LIST | FLAG(NAMESPACE),
                .max_words = 1,
                .words = WORD_POD,
                .run = verb_events,
        },
        {
                .name = "version",
                .arguments = "",
                .help = "versions of this command and of skiffd",
                .flags = FLAG(OUTPUT),
                .run = verb_version,
        },
        {
                .name = "completion",
                .arguments = "bash|zsh|fish",
                .help = "print a completion script for a shell",
                .description = "The package installs them where the shells look; this is for other "
                               "places.",
                .examples = { { "source <(skiff completion bash)", "for this shell" } },
                .min_words = 1,
                .max_words = 1,
                .words = WORD_SHELL,
                .is_local = true,
                .run = verb_completion,
        },
        {
                .name = "help",
                .arguments = "[VERB]",
                .help = "what there is, and how to use it",
                .max_words = 2,
                .words = WORD_VERB,
                .is_local = true,
                .run = verb_help,
        },
        {}
};
