/*
 * Which fields an object of the API may have: finds those that it does not know (misspelt, or of
 * another version), and those that this node passes over. Pure.
 */
#pragma once
#include <jansson.h>

enum api_field {
        API_FIELD_UNKNOWN, /* the API has no such field; kubectl refuses it, too */
        API_FIELD_IGNORED, /* nothing comes of it here */
};
/* @path: "spec.containers[0].imagee". @why: of an ignored one. Not 0: the walk ends with it. */
typedef int (*api_schema_fn)(const char *path, enum api_field what, const char *why,
                             void *userdata);
/**
 * api_schema_walk() - every field of @object that is unknown or ignored, in its own order
 * @kind: Pod, ReplicationController, PodTemplate, Deployment, ReplicaSet, StatefulSet, DaemonSet,
 *        Job, CronJob
 * What is below "status", and maps with free keys (labels, nodeSelector, limits), is not looked at.
 * Return: 0; -ENOENT: the kind is another; -ENOMEM; or what @fn returned.
 */
int api_schema_walk(const json_t *object, const char *kind, api_schema_fn fn, void *userdata);
