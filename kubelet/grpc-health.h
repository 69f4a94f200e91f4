/*
 * The gRPC health check (grpc.health.v1.Health/Check) as bytes: the request of a probe, and what an
 * answer says. The kubelet's words. Pure. Source: pkg/probe/grpc/grpc.go.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/grpc-answer.h"

#define GRPC_HEALTH_PATH "/grpc.health.v1.Health/Check"

/**
 * grpc_health_request() - the message of a request
 * @service: "" for the server as a whole
 * @ret:     owned
 * Return: its length, or -ENOMEM.
 */
int grpc_health_request(const char *service, uint8_t **ret);

/**
 * grpc_health_judge() - is the service healthy?
 * @ret_why: owned; why not, when false is returned; NULL: no memory for it
 */
bool grpc_health_judge(const struct grpc_answer *answer, char **ret_why);
