#include "kubelet/csi-node-object.h"

#include <errno.h>
#include <string.h>

json_t *csi_node_object(const char *node_name, const char *node_uid)
{
        return json_pack("{s:s, s:s, s:{s:s, s:[{s:s, s:s, s:s, s:s}]}, s:{s:[]}}", "apiVersion",
                         "storage.k8s.io/v1", "kind", "CSINode", "metadata", "name", node_name,
                         "ownerReferences", "apiVersion", "v1", "kind", "Node", "name", node_name,
                         "uid", node_uid, "spec", "drivers");
}

bool csi_node_object_is_owned(const json_t *csi_node, const char *node_name, const char *node_uid)
{
        const json_t *owner;
        size_t i;

        json_array_foreach (json_path(csi_node, "metadata", "ownerReferences", NULL), i, owner)
                if (streq_null(json_text_at(owner, "kind"), "Node") &&
                    streq_null(json_text_at(owner, "name"), node_name) &&
                    streq_null(json_text_at(owner, "uid"), node_uid))
                        return true;
        return false;
}

/* Keys only; string_map has them in order. */
static json_t *topology_keys(const struct csi_node_info *info)
{
        json_t *keys = json_array();

        for (size_t i = 0; i < info->topology.n; i++)
                if (json_array_append_new(keys, json_string(info->topology.entries[i].key)) < 0) {
                        json_decref(keys);
                        return NULL;
                }
        return keys;
}

static json_t *driver_entry(const char *driver, const struct csi_node_info *info)
{
        json_t *entry = json_pack("{s:s, s:s, s:o}", "name", driver, "nodeID", info->node_id,
                                  "topologyKeys", topology_keys(info));

        if (entry && info->max_volumes > 0 &&
            json_set(entry, "allocatable",
                     json_pack("{s:I}", "count", (json_int_t)info->max_volumes)) < 0) {
                json_decref(entry);
                return NULL;
        }
        return entry;
}

/* The server leaves out what is empty, and may order the keys as it likes. */
static bool says_the_same(const json_t *entry, const struct csi_node_info *info)
{
        const json_t *keys = json_object_get(entry, "topologyKeys");
        json_int_t count = json_integer_value(json_path(entry, "allocatable", "count", NULL));

        if (!streq_null(json_text_at(entry, "nodeID"), info->node_id) ||
            count != info->max_volumes || json_array_size(keys) != info->topology.n)
                return false;
        for (size_t i = 0; i < info->topology.n; i++) {
                const char *key = json_string_value(json_array_get(keys, i));

                if (!key || !string_map_get(&info->topology, key))
                        return false;
        }
        return true;
}

int csi_node_object_set(json_t *csi_node, const char *driver, const struct csi_node_info *info)
{
        json_t *spec = json_object_get(csi_node, "spec"), *drivers, *entry;
        int changed = info != NULL;
        size_t i;

        if (!json_is_object(spec)) {
                spec = json_object();
                if (json_object_set_new(csi_node, "spec", spec) < 0)
                        return -ENOMEM;
        }
        drivers = json_object_get(spec, "drivers");
        if (!json_is_array(drivers)) {
                drivers = json_array();
                if (json_object_set_new(spec, "drivers", drivers) < 0)
                        return -ENOMEM;
        }
        for (i = 0; i < json_array_size(drivers); i++) {
                entry = json_array_get(drivers, i);
                if (!streq_null(json_text_at(entry, "name"), driver))
                        continue;
                if (info && says_the_same(entry, info))
                        return 0;
                json_array_remove(drivers, i--);
                changed = 1;
        }
        if (!info)
                return changed;
        entry = driver_entry(driver, info);
        return entry && json_array_append_new(drivers, entry) == 0 ? 1 : -ENOMEM;
}

static int read_ids(const json_t *node, json_t **ret, struct err *err)
{
        const char *text = json_text_at(json_path(node, "metadata", "annotations", NULL),
                                        CSI_NODE_ID_ANNOTATION);
        json_t *ids = NULL;

        if (!text || !*text)
                ids = json_object();
        else if (json_parse(text, strlen(text), false, &ids, NULL) < 0 || !json_is_object(ids)) {
                json_decref(ids);
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "failed to parse node's \"" CSI_NODE_ID_ANNOTATION
                                    "\" annotation value (\"%s\"): expected a JSON object",
                                    text);
        }
        if (!ids)
                return err_sys(err, -ENOMEM, "read the node's annotation");
        *ret = ids;
        return 0;
}

/* @ret: the labels that are new, as a fresh object. */
static int new_labels(const json_t *node, const struct csi_node_info *info, json_t **ret,
                      struct err *err)
{
        const json_t *labels = json_path(node, "metadata", "labels", NULL);
        json_auto_t *fresh = json_object();

        for (size_t i = 0; info && i < info->topology.n; i++) {
                const struct string_map_entry *e = &info->topology.entries[i];
                const char *now = json_text_at(labels, e->key);

                if (now && !streq(now, e->value))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "detected topology value collision: driver reported "
                                            "\"%s\":\"%s\" but existing label is \"%s\":\"%s\"",
                                            e->key, e->value, e->key, now);
                if (!now && json_set_text(fresh, e->key, e->value) < 0)
                        return err_sys(err, -ENOMEM, "write the node's labels");
        }
        *ret = TAKE_PTR(fresh);
        return 0;
}

int csi_node_patch(const json_t *node, const char *driver, const struct csi_node_info *info,
                   json_t **ret, struct err *err)
{
        json_auto_t *ids = NULL, *labels = NULL, *metadata = NULL, *text = NULL;
        _cleanup_free_ char *dump = NULL;
        const char *now;
        bool id_changes;
        int r = read_ids(node, &ids, err);

        if (r == 0)
                r = new_labels(node, info, &labels, err);
        if (r < 0)
                return r;
        now = json_text_at(ids, driver);
        id_changes = !streq_null(now, info ? info->node_id : NULL);
        if (!id_changes && json_object_size(labels) == 0) {
                *ret = NULL;
                return 0;
        }
        if (info)
                json_set_text(ids, driver, info->node_id);
        else
                json_object_del(ids, driver);
        dump = json_dumps(ids, JSON_COMPACT | JSON_SORT_KEYS);
        text = json_object_size(ids) ? json_string(dump) : json_null();
        metadata = json_object();
        if (!dump || !text || !metadata ||
            (id_changes && json_set(metadata, "annotations",
                                    json_pack("{s:O}", CSI_NODE_ID_ANNOTATION, text)) < 0) ||
            (json_object_size(labels) && json_object_set(metadata, "labels", labels) < 0))
                return err_sys(err, -ENOMEM, "write the node's annotation");
        *ret = json_pack("{s:O}", "metadata", metadata);
        return *ret ? 0 : err_sys(err, -ENOMEM, "write the node's annotation");
}
