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
        [FLAG_STDIN]      = { 'i', "stdin", NULL, "pass standard input on" },
        [FLAG_TTY]        = { 't', "tty", NULL, "with -i: a terminal in the container, as ours is" },
        [FLAG_FOLLOW]     = { 'f', "follow", NULL, "go on while the container writes" },
        [FLAG_FILENAME]   = { 'f', "filename", "FILE", "the manifest: a file, a folder of them, or - for standard input" },
        [FLAG_PREVIOUS]   = { 'p', "previous", NULL, "of the run before the last restart" },
        [FLAG_TAIL]       = { 0, "tail", "N", "the last N lines; -1: all" },
        [FLAG_SINCE]      = { 0, "since", "DURATION", "what is newer, such as 5m or 1h30m" },
        [FLAG_TIMESTAMPS] = { 0, "timestamps", NULL, "each line begins with its time" },
        [FLAG_NO_PRESERVE] = { 0, "no-preserve", NULL, "leave owners, permissions and times behind" },
        [FLAG_ADDRESS]    = { 0, "address", "ADDRESSES", "listen there, separated by commas (localhost)" },
        [FLAG_SOCKET]     = { 0, "socket", "PATH", "the daemon's socket (see ENVIRONMENT in skiff(1))" },
        [FLAG_HELP]       = { 'h', "help", NULL, "say this and end" },
        [FLAG_VERSION]    = { 0, "version", NULL, "print the version and end" },
};
/* clang-format on */

#define NEEDS_ROOT "It needs root."

const struct verb verbs[] = {
        {
                .name = "status",
                .arguments = "",
                .help = "this node at a glance, and what is wrong with it",
                .description =
                        "One screen: the node, its connection to the API server and since when, "
                        "versions, pods by phase, the memory of each of Skiff's own processes, and "
                        "what is wrong with what would help.",
                .examples = { { "skiff status -w", "again whenever something changes" } },
                .flags = FLAG(OUTPUT) | FLAG(WATCH),
                .run = verb_status,
        },
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
                .name = "explain",
                .arguments = "POD",
                .help = "what a pod waits for, and what would help",
                .description =
                        "Says what a pod waits for: since when, what was tried, what happens next "
                        "and when, and what would help. It knows of image pulls, volumes, missing "
                        "ConfigMaps and Secrets, the sandbox and its network, back-offs after a "
                        "crash, probes, hooks, admission, and of what holds up a pod's end. All of "
                        "it is skiffd's own state at this moment.",
                .examples = { { "skiff explain web", "why it does not run" } },
                .flags = FLAG(OUTPUT) | FLAG(NAMESPACE),
                .min_words = 1,
                .max_words = 1,
                .words = WORD_POD,
                .run = verb_explain,
        },
        {
                .name = "timeline",
                .arguments = "POD",
                .help = "every step of a pod, and how long it took",
                .description =
                        "Shows the steps of a pod since skiffd heard of it: admitted, volumes, "
                        "sandbox (with its network), pulling, image, created, started, ready, "
                        "exited, back-off, stopping and so on, each with the time since the "
                        "beginning and since the step before it of the same container. On a "
                        "terminal of 110 columns or more there is a bar chart beside it; -o svg "
                        "makes a picture. A restart of skiffd begins it anew.",
                .examples = { { "skiff timeline web", "a table" },
                              { "skiff timeline web -o svg > web.svg", "a picture" } },
                .flags = FLAG(OUTPUT) | FLAG(NAMESPACE) | FLAG(NO_HEADERS),
                .min_words = 1,
                .max_words = 1,
                .words = WORD_POD,
                .has_svg = true,
                .run = verb_timeline,
        },
        {
                .name = "dash",
                .arguments = "",
                .help = "this node on a whole screen, as it goes",
                .description =
                        "Pods and their containers with what they use against their limits, "
                        "curves of the last half minute, restarts, and the newest events. One key "
                        "each: l logs, s a shell, e explain, t timeline, / filter, c containers or "
                        "pods alone, ? help, q quit. It goes on with the API server away, and says "
                        "so when skiffd is away until it is back. Colours honour NO_COLOR.",
                .run = verb_dash,
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
                .description =
                        "Runs a command in a running container, with the container's own user, "
                        "environment and confinement. With -it it feels like a local shell: the "
                        "terminal is passed on, with its size whenever it changes. The command "
                        "ends with the container. " NEEDS_ROOT,
                .examples = { { "skiff exec web -- ls /", "in the pod's first container" },
                              { "skiff exec -it default/web/side -- sh", "a shell" } },
                .exit_codes = "the command's own once it was started (128 and the signal's number "
                              "when one ended it)",
                .flags = FLAG(NAMESPACE) | FLAG(CONTAINER) | FLAG(STDIN) | FLAG(TTY),
                .min_words = 2,
                .max_words = 1024,
                .words = WORD_POD,
                .run = verb_exec,
        },
        {
                .name = "attach",
                .arguments = "POD",
                .help = "a running container's own input and output",
                .description =
                        "Shows what a container writes from now on, and with -i (and -t, when the "
                        "container has a terminal) passes input on to it. It ends with the "
                        "container; a reader who is too slow loses output and is let go. " NEEDS_ROOT,
                .examples = { { "skiff attach -it shell", "talk to the container's own program" } },
                .flags = FLAG(NAMESPACE) | FLAG(CONTAINER) | FLAG(STDIN) | FLAG(TTY),
                .min_words = 1,
                .max_words = 1,
                .words = WORD_POD,
                .run = verb_attach,
        },
        {
                .name = "cp",
                .arguments = "SRC DEST",
                .help = "copy files and folders to and from a container",
                .description =
                        "One of SRC and DEST is [NAMESPACE/]POD[/CONTAINER]:PATH, the other is on "
                        "this machine; a path that begins with '/' or '.' is always one here. As "
                        "with kubectl cp, tar (and test) must be in the container: they run as its "
                        "own user. Into a folder that is there SRC goes by its name, else it is "
                        "called DEST. From a container no links come, and nothing lands outside "
                        "of DEST, whatever its archive says. " NEEDS_ROOT,
                .examples = { { "skiff cp web:/etc/nginx.conf .", "from the container" },
                              { "skiff cp ./site web:/srv -c nginx", "a folder into it" } },
                .flags = FLAG(NAMESPACE) | FLAG(CONTAINER) | FLAG(NO_PRESERVE),
                .min_words = 2,
                .max_words = 2,
                .words = WORD_FILE,
                .run = verb_cp,
        },
        {
                .name = "port-forward",
                .arguments = "POD [LOCAL:]REMOTE...",
                .help = "ports of this machine that lead to ports of a pod",
                .description =
                        "Listens on this machine and passes each connection on to the pod's own "
                        "loopback, until it is interrupted. LOCAL is the same as REMOTE when it is "
                        "not given, and any free port when it is empty (:80). REMOTE may be the "
                        "name of a port of the pod. --address tells where to listen: localhost "
                        "unless told otherwise. " NEEDS_ROOT,
                .examples = { { "skiff port-forward web 8080:80", "then curl localhost:8080" },
                              { "skiff port-forward web :http", "on a port that is free" } },
                .flags = FLAG(NAMESPACE) | FLAG(ADDRESS),
                .min_words = 2,
                .max_words = 33,
                .words = WORD_POD,
                .run = verb_port_forward,
        },
        {
                .name = "inspect",
                .arguments = "POD [CONTAINER]",
                .help = "a container's OCI config.json, process, namespaces and cgroup",
                .description =
                        "Shows what a container was made from, as the runtime has it: the OCI "
                        "config.json, and of one that runs the process id, its namespaces and its "
                        "cgroup. Values out of Secrets are in it. " NEEDS_ROOT,
                .examples = { { "skiff inspect web -o yaml", "its first container" } },
                .flags = FLAG(OUTPUT) | FLAG(NAMESPACE) | FLAG(CONTAINER),
                .min_words = 1,
                .max_words = 2,
                .words = WORD_POD,
                .run = verb_inspect,
        },
        {
                .name = "top",
                .arguments = "[POD]",
                .help = "what pods use of CPU and memory, or the containers of one",
                .description = "Measured now, as kubectl top shows it; CPU is that of the time "
                               "between two looks. What the kernel does not tell is \"-\".",
                .flags = FLAG(OUTPUT) | FLAG(WATCH) | FLAG(NO_HEADERS) | FLAG(NAMESPACE),
                .max_words = 1,
                .words = WORD_POD,
                .run = verb_top,
        },
        {
                .name = "stats",
                .arguments = "[POD]",
                .help = "what containers use: CPU, memory, disk",
                .description = "One row for each container that runs. -o json is the kubelet's "
                               "stats summary (v1alpha1).",
                .flags = FLAG(OUTPUT) | FLAG(WATCH) | FLAG(NO_HEADERS) | FLAG(NAMESPACE),
                .max_words = 1,
                .words = WORD_POD,
                .run = verb_stats,
        },
        {
                .name = "restart",
                .arguments = "POD [CONTAINER]",
                .help = "stop a pod's containers, or one, and start them anew",
                .description =
                        "Stops containers as a liveness probe would: preStop hook, stop signal, "
                        "grace period; and starts them anew, whatever the pod's restart policy is. "
                        "A container that waits for the end of a back-off is started at once. The "
                        "pod keeps its address and volumes. " NEEDS_ROOT,
                .examples = { { "skiff restart web", "all its containers" } },
                .flags = FLAG(NAMESPACE) | FLAG(CONTAINER),
                .min_words = 1,
                .max_words = 2,
                .words = WORD_POD,
                .run = verb_restart,
        },
        {
                .name = "stop",
                .arguments = "POD",
                .help = "stop a static pod",
                .description =
                        "Ends a static pod, which nobody else could delete: its containers are "
                        "stopped with their grace period. It comes back when its manifest changes "
                        "or skiffd starts anew; remove the manifest to end it for good. Pods of "
                        "the API server are ended by kubectl delete. " NEEDS_ROOT,
                .flags = FLAG(NAMESPACE),
                .min_words = 1,
                .max_words = 1,
                .words = WORD_POD,
                .run = verb_stop,
        },
        {
                .name = "images",
                .arguments = "",
                .help = "list the images of this node",
                .description =
                        "SIZE is on disk. -o wide tells how much of it other images share and "
                        "how much is the image's own, and which containers use it (the first, and "
                        "how many more); -o json has all of them, and the layers.",
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
                .name = "image export",
                .arguments = "NAME FILE|-",
                .help = "write an image to an archive",
                .description =
                        "Writes an OCI layout (tar), which skiff, skopeo, podman, ctr and docker "
                        "read; to standard output for \"-\". Layers are written uncompressed, so "
                        "that the manifest's digest is another one; the image's id stays. Every "
                        "byte is checked on the way: a damaged image is not exported. FILE is "
                        "there once it is complete. " NEEDS_ROOT,
                .examples = { { "skiff image export app:2 app.tar", "to a file" },
                              { "skiff image export app:2 - | ssh other skopeo copy "
                                "oci-archive:/dev/stdin ...",
                                "to another machine" } },
                .min_words = 2,
                .max_words = 2,
                .words = WORD_IMAGE,
                .run = verb_image_export,
        },
        {
                .name = "image verify",
                .arguments = "[NAME]",
                .help = "read every byte of an image, or of all, against its digest",
                .description =
                        "Makes each layer's archive again from what is on disk and compares its "
                        "digest, so that any changed, missing or longer file shows; manifest and "
                        "config as well. What is \"ok\" is as it was pulled but for owners, modes "
                        "and times of the files on disk, which are not compared. \"unknown\" is a "
                        "layer whose archive held some file twice: its digest cannot be made "
                        "again. " NEEDS_ROOT,
                .exit_codes = "1 also when something is damaged",
                .flags = FLAG(OUTPUT) | FLAG(NO_HEADERS),
                .max_words = 1,
                .words = WORD_IMAGE,
                .run = verb_image_verify,
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
                .name = "plan",
                .arguments = "-f FILE",
                .help = "what a manifest would do on this node",
                .description =
                        "Validates a manifest as the API would, and says what would happen on this "
                        "node, without doing any of it: admitted or why not, which images are here, "
                        "what it asks for, what the node has left after it, which fields are "
                        "unknown or come to nothing here. It takes Pods and whatever has a "
                        "template of them (Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, "
                        "CronJob, ReplicationController, PodTemplate), of which one pod is planned; "
                        "lists of them, and files of several documents, YAML or JSON. What is "
                        "admitted counts for those behind it. The API server's own admission "
                        "(quotas, policies, webhooks) is not asked, and of what pods refer to "
                        "(ConfigMaps, Secrets, claims) it is not known whether it is there. A tag "
                        "whose image is not here is not looked up.",
                .examples = { { "skiff plan -f web.yaml", "one file" },
                              { "kubectl kustomize . | skiff plan -f -", "what a pipe gives" } },
                .exit_codes = "1 also when something is invalid, would be refused, or has a field "
                              "that the API does not know",
                .flags = FLAG(OUTPUT) | FLAG(NAMESPACE) | FLAG(FILENAME),
                .words = WORD_FILE,
                .run = verb_plan,
        },
        {
                .name = "services",
                .arguments = "",
                .help = "list the Services that are routed on this node",
                .description =
                        "Lists what skiff-netproxy serves, from its own state: a Service that the "
                        "API server has and that is not here is headless, of type ExternalName, or "
                        "another proxy's. ENDPOINTS counts addresses, ready of all. -o wide adds "
                        "external addresses, traffic policies, session affinity, and whether the "
                        "newest change of it is in force.",
                .examples = { { "skiff services -n kube-system -o wide", "of one namespace" } },
                .flags = FLAGS_LIST | FLAG(NAMESPACE),
                .daemon = CLIENT_NETPROXY,
                .run = verb_services,
        },
        {
                .name = "service",
                .arguments = "SERVICE",
                .help = "one Service: where its addresses lead, which endpoints and why not others",
                .description =
                        "Shows where each address of a Service leads, as installed in nftables, "
                        "and each of its endpoints: node, zone, whether it is ready, serves, "
                        "terminates, and whether traffic goes to it. \"inside\" is who asks the "
                        "cluster IP, \"outside\" who asks a node port, an external IP or a load "
                        "balancer's: their traffic policies may differ. SERVICE is NAME or "
                        "NAMESPACE/NAME, and may be cut short as long as it is one Service's.",
                .examples = { { "skiff service kube-system/kube-dns", "by its whole name" } },
                .flags = FLAG(OUTPUT) | FLAG(NAMESPACE) | FLAG(NO_HEADERS),
                .min_words = 1,
                .max_words = 1,
                .words = WORD_SERVICE,
                .daemon = CLIENT_NETPROXY,
                .run = verb_service,
        },
        {
                .name = "trace",
                .arguments = "IP:PORT[/PROTOCOL]",
                .help = "what becomes of a packet to this address and port",
                .description =
                        "Follows a packet that this node sends or forwards through the rules of "
                        "skiff-netproxy: which Service's port it is, by which kind of address, to "
                        "which endpoints it may go and with which chance, whether its source is "
                        "hidden, session affinity, or why it is refused or dropped; apart for who "
                        "sends it where that matters: pods of this node, the node itself, "
                        "everybody else. The walk is made through what the proxy has installed "
                        "and again through what the kernel answers; a difference is said. What is "
                        "no Service's is looked for among the pods' host ports and addresses, "
                        "which are skiffd's. PROTOCOL is tcp (when it is not said), udp or sctp. "
                        "An IPv6 address stands in brackets.",
                .examples = { { "skiff trace 10.96.0.10:53/udp", "cluster DNS" },
                              { "skiff trace [2001:db8::1]:30080", "a node port" } },
                .exit_codes = "1 also when the kernel has something else than the proxy thinks",
                .flags = FLAG(OUTPUT),
                .min_words = 1,
                .max_words = 1,
                .daemon = CLIENT_NETPROXY,
                .run = verb_trace,
        },
        {
                .name = "doctor",
                .arguments = "",
                .help = "check this machine, and say what to do",
                .description =
                        "Checks what a node needs: kernel features, cgroup controllers, sysctls, "
                        "swap, clock, disks, DNS, certificates and their expiry, skiffd and its "
                        "connection to the API server, ports, and what other runtimes left. Each "
                        "finding is ok, a warning or a problem, with what to do: the line to add "
                        "and the file it belongs in. It works without skiffd, too.",
                .exit_codes = "1 also when there is a problem",
                .flags = FLAG(OUTPUT),
                .run = verb_doctor,
        },
        {
                .name = "image prune",
                .arguments = "",
                .help = "remove the images that no container uses",
                .description = "A container that has ended and is kept for its logs still uses "
                               "its image. " NEEDS_ROOT,
                .run = verb_image_prune,
        },
        {
                .name = "config",
                .arguments = "",
                .help = "the configuration in force, and where each value came from",
                .description = "All settings of the KubeletConfiguration and the options of "
                               "skiffd: their values, and whether the file, the command line or "
                               "the default said so.",
                .examples = { { "skiff config | grep -v default", "what somebody set" } },
                .flags = FLAG(OUTPUT) | FLAG(NO_HEADERS),
                .run = verb_config,
        },
        {
                .name = "support",
                .arguments = "[FILE]",
                .help = "collect one archive for those who are to help",
                .description =
                        "Writes a tar archive in gzip, mode 0600, to FILE or to "
                        "skiff-support-HOST-TIME.tar.gz here: what skiffd answers, the doctor's "
                        "findings, the journal of our units and of the kernel, addresses, routes, "
                        "rules, processes. Values of environment variables and annotations, "
                        "tokens, passwords and keys are left out; logs of containers are not in "
                        "it. What cannot be had is said in its place: it does not fail for that.",
                .max_words = 1,
                .words = WORD_FILE,
                .run = verb_support,
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
