/*
 * The words that the API shows for what went wrong: the one home of reasons, of the exit codes that
 * go with them, and of the sentences that belong to them. Pure.
 *
 * base/ and runtime/ know an enum of their own (base/err.h); here it becomes Kubernetes' words.
 * Source: pkg/kubelet/container/sync_result.go, pkg/kubelet/events/event.go.
 */
#pragma once
#include "base/err.h"
#include "kubelet/pod-observed.h"

/* waiting */
#define REASON_CONTAINER_CREATING  "ContainerCreating"
#define REASON_POD_INITIALIZING    "PodInitializing"
#define REASON_CRASH_LOOP          "CrashLoopBackOff"
#define REASON_ERR_IMAGE_PULL      "ErrImagePull"
#define REASON_IMAGE_BACK_OFF      "ImagePullBackOff"
#define REASON_IMAGE_NEVER_PULL    "ErrImageNeverPull"
#define REASON_IMAGE_INSPECT       "ImageInspectError"
#define REASON_INVALID_IMAGE_NAME  "InvalidImageName"
#define REASON_REGISTRY            "RegistryUnavailable"
#define REASON_CONTAINER_CONFIG    "CreateContainerConfigError"
#define REASON_CONTAINER_CREATE    "CreateContainerError"
#define REASON_CONTAINER_RUN       "RunContainerError"
#define REASON_POST_START_HOOK     "PostStartHookError"
#define REASON_IMAGE_VOLUME        "ImageVolumeMountFailed" /* before the sentence */
#define REASON_RESTARTING_ALL      "RestartingAllContainers"
#define REASON_RESTARTING_ALL_TEXT "The container is removed because RestartAllContainers in place"

/* terminated */
#define REASON_COMPLETED      "Completed"
#define REASON_ERROR          "Error"
#define REASON_OOM_KILLED     "OOMKilled"
#define REASON_START_ERROR    "StartError"
#define REASON_STATUS_UNKNOWN "ContainerStatusUnknown"
#define REASON_LOST_TEXT      "The container could not be located when the pod was terminated"
#define REASON_LOST_RUNNING_TEXT                                                                  \
        "The container could not be located when the pod was deleted.  The container used to be " \
        "Running"
#define REASON_INIT_FORGOTTEN_TEXT                                                     \
        "Unable to get init container status from container runtime and pod has been " \
        "initialized, treat it as exited normally"
enum { EXIT_CODE_LOST = 137, EXIT_CODE_START_ERROR = 128 };

/* pods */
#define REASON_POD_COMPLETED        "PodCompleted"
#define REASON_POD_FAILED           "PodFailed"
#define REASON_CONTAINERS_NOT_READY "ContainersNotReady"
#define REASON_NOT_INITIALIZED      "ContainersNotInitialized"
#define REASON_GATES_NOT_READY      "ReadinessGatesNotReady"
#define REASON_UNKNOWN_STATUSES     "UnknownContainerStatuses"
#define REASON_RESIZE_DEFERRED      "Deferred"
#define REASON_RESTART_ALL_STARTED  "RestartAllContainersStarted"
#define REASON_RESTART_ALL_RULE     "container exited with restart policy rule"
#define REASON_DEADLINE_EXCEEDED    "DeadlineExceeded"
#define REASON_DEADLINE_EXCEEDED_TEXT \
        "Pod was active on the node longer than the specified deadline"
#define REASON_EVICTED                "Evicted"
#define REASON_PREEMPTING             "Preempting"
#define REASON_TERMINATED             "Terminated" /* the machine shuts down */
#define REASON_TERMINATION_BY_KUBELET "TerminationByKubelet"

/* Why a container that could not be started waits. */
const char *reason_of_start(enum err_kind kind);
/* Why an exited one is terminated; its exit code and message are as the instance says. */
const char *reason_of_exit(const struct instance *i);
/* "back-off 40s restarting failed container=c pod=name_ns(uid)"; owned. */
char *reason_crash_loop_text(const struct pod *pod, const struct pod_container *c,
                             usec_t delay_usec);
