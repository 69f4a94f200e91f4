/*
 * One container of a pod and everything it refers to -> the OCI spec that runtime/ carries out.
 * Pure: what must be fetched, resolved or made first comes in; errors are the kubelet's sentences
 * (ERR_CONTAINER_CONFIG).
 *
 * Order of use: container_user_wanted() says which user to resolve in the image, then
 * container_config_build(). Source: pkg/kubelet/kubelet_pods.go (GenerateRunContainerOptions,
 * makeEnvironmentVariables), pkg/kubelet/kuberuntime (kuberuntime_container_linux.go,
 * security_context.go), pkg/kubelet/envvars.
 */
#pragma once
#include "kubelet/field-path.h"
#include "kubelet/pod.h"
#include "kubelet/services.h"
#include "runtime/runtime.h"

struct container_mount_input { /* one volumeMount, its volume set up */
        const struct pod_mount *mount;
        const char *host_path; /* of the volume, or of its subPath */
        bool read_only;        /* of the volume's nature: configMap, secret, … */
        bool create_missing;   /* hostPath without a type: a missing directory is made */
        /* what @host_path must be when it is mounted: a hostPath's type; NULL or "": anything */
        const char *source_type;
        const char *image; /* in the place of @host_path: "sha256:…[/subPath]" of an image volume */
};

struct container_device_input { /* one of volumeDevices, its volume set up */
        const char *path;       /* in the container */
        int64_t major, minor;   /* of a block device */
        bool read_only;
};

struct container_input {
        const struct pod *pod;
        const struct pod_container *container;
        const struct image_info *image;
        const struct image_user *user; /* container_user_wanted() resolved in the image */
        const uint32_t *image_groups;  /* groups of that user in the image's /etc/group
                                          (supplementalGroupsPolicy Merge) */
        size_t n_image_groups;
        const struct container_mount_input
                *mounts; /* in the order of the container's volumeMounts */
        size_t n_mounts;
        const struct container_device_input *devices; /* of the container's volumeDevices */
        size_t n_devices;
        const uint32_t *volume_groups; /* that its volumes give to the pod's processes */
        size_t n_volume_groups;
        /* files of ours on the host, bound into the container; NULL: none */
        const char *hosts_file, *resolv_conf_file, *hostname_file, *termination_log_file;
        /* what env refers to. @object: ConfigMap or Secret; NULL: it does not exist */
        const json_t *(*object)(bool is_secret, const char *name, void *userdata);
        /* fileKeyRef: text of a file in a volume, owned; negative errno */
        int (*read_file)(const char *volume, const char *path, char **ret, void *userdata);
        void *userdata;
        const struct service_info *const *services; /* that the pod sees */
        size_t n_services;
        const char *pod_ip, *pod_ips, *host_ip, *host_ips; /* lists joined by ','; "" when none */
        const char *node_name;
        const char *hostname; /* of the pod: $HOSTNAME; NULL: not set */
        pid_t target_pid;     /* first process of an ephemeral container's target; 0: none */
        struct node_allocatable allocatable;
        uint64_t node_memory_bytes;            /* capacity, for oom_score_adj */
        const struct oci_device *host_devices; /* for privileged */
        size_t n_host_devices;
        uint32_t possible_cpus; /* for the masked thermal_throttle files */
        bool cpu_quota, seccomp_default, single_process_oom_kill;
        const char *apparmor_default; /* profile of RuntimeDefault; NULL: not loaded */
        usec_t cpu_period_usec;
        int64_t pod_pids_limit; /* <= 0: none; of pod cgroups */
};

struct container_output {
        struct oci_spec spec; /* seccomp left NULL: the caller loads what .seccomp says */
        enum { SECCOMP_UNCONFINED, SECCOMP_RUNTIME_DEFAULT, SECCOMP_LOCALHOST } seccomp;
        const char *seccomp_localhost; /* borrowed from the pod */
};

/**
 * container_user_wanted() - "1000", "1000:100", "www-data", "" (root): what image_resolve_user() is
 * to resolve Checks runAsNonRoot as far as it can be known before. @ret is owned. Return: 0;
 * ERR_CONTAINER_CONFIG with the kubelet's sentence.
 */
int container_user_wanted(const struct pod *pod, const struct pod_container *container,
                          const struct image_info *image, char **ret, struct err *err);
/* Return: 0; -EINVAL or -ENOENT with ERR_CONTAINER_CONFIG; -ENOMEM. The caller frees with
 * container_output_done() in both cases. */
int container_config_build(const struct container_input *in, struct container_output *ret,
                           struct err *err);
/*
 * subPathExpr of a mount: $(VAR) from the container's environment; an unknown one is an error. Uses
 * everything in @in but .mounts and the files. *ret is owned.
 */
int container_expand_sub_path(const struct container_input *in, const char *expr, char **ret,
                              struct err *err);
void container_output_done(struct container_output *o);

/* cgroup of a pod in cgroupfs spelling, below the cgroup root: "kubepods/burstable/pod<uid>".
 * Owned. */
char *pod_cgroup_path(const struct pod *pod);
/* Limits of the pod's own cgroup, and of the QoS level above it ("kubepods/burstable") for a set of
 * pods. Initialised by the callee. */
int pod_cgroup_resources(const struct pod *pod, const struct container_input *node,
                         struct oci_resources *ret);
/* Takes the wider of two limits, and the greater weight: for while containers below it change from
 * one to the other. */
void pod_cgroup_resources_widen(struct oci_resources *r, const struct oci_resources *other);
/* "cpu" or "memory" of a container that runs already; a limit that is gone becomes unlimited. Uses
 * .pod, .container and what they say of cpu in @in. @ret: initialised here. */
void container_resize_resources(const struct container_input *in, const char *resource,
                                struct oci_resources *ret);
/* Sandbox hostname (cut, FQDN when asked): owned; -ENAMETOOLONG with the kubelet's sentence. */
int pod_hostname(const struct pod *pod, const char *cluster_domain, const char *node_name,
                 char **ret_hostname, char **ret_domain, struct err *err);
