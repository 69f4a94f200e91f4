/*
 * /v1/status of the local socket: the node at a glance, what is wrong with it and what would help,
 * and what our own processes take. Measured when asked.
 */
#pragma once
#include "kubelet/local-api.h"

/**
 * local_status_json() - { node, pods: { total, phases }, problems: [ { about, what, help? } ],
 * processes: [ { name, count, pssBytes, privateBytes } ] }
 * @node: the answer of /v1/node; stolen
 * Return: new reference.
 */
json_t *local_status_json(const struct context *ctx, const struct pod_manager *pods, json_t *node);
