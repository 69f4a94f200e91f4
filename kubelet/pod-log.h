/*
 * Log lines for a pod or one of its containers: the fields and the "ns/pod[container]: " come by
 * themselves. @container is the container's name.
 */
#pragma once
#include "kubelet/pod.h"

#define log_pod_full_(pod, container, level, r, ...)                         \
        do {                                                                 \
                const struct log_ids _ids = pod_log_ids((pod), (container)); \
                log_full(&_ids, (level), (r), __VA_ARGS__);                  \
        } while (0)
#define log_pod_debug(pod, ...)    log_pod_full_((pod), NULL, LOG_DEBUG, 0, __VA_ARGS__)
#define log_pod_info(pod, ...)     log_pod_full_((pod), NULL, LOG_INFO, 0, __VA_ARGS__)
#define log_pod_notice(pod, ...)   log_pod_full_((pod), NULL, LOG_NOTICE, 0, __VA_ARGS__)
#define log_pod_warn(pod, r, ...)  log_pod_full_((pod), NULL, LOG_WARNING, (r), __VA_ARGS__)
#define log_pod_error(pod, r, ...) log_pod_full_((pod), NULL, LOG_ERR, (r), __VA_ARGS__)
#define log_container_debug(pod, container, ...) \
        log_pod_full_((pod), (container), LOG_DEBUG, 0, __VA_ARGS__)
#define log_container_info(pod, container, ...) \
        log_pod_full_((pod), (container), LOG_INFO, 0, __VA_ARGS__)
#define log_container_warn(pod, container, r, ...) \
        log_pod_full_((pod), (container), LOG_WARNING, (r), __VA_ARGS__)
#define log_container_error(pod, container, r, ...) \
        log_pod_full_((pod), (container), LOG_ERR, (r), __VA_ARGS__)
