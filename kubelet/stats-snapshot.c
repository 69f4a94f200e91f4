#include "kubelet/stats-snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum {
        COLUMN_RX_BYTES = 0,
        COLUMN_RX_PACKETS,
        COLUMN_RX_ERRORS,
        COLUMN_RX_DROPPED,
        COLUMN_TX_BYTES = 8,
        COLUMN_TX_PACKETS,
        COLUMN_TX_ERRORS,
        COLUMN_TX_DROPPED,
        COLUMNS_MIN,
        INTERFACES_MAX = 64 /* of one pod, that has a few; the others are left out */
};

/* Whoever may make interfaces in a pod may name them in any bytes, and JSON does not take all. */
static bool is_printable(const char *name)
{
        for (; *name; name++)
                if (*name <= ' ' || *name > '~')
                        return false;
        return true;
}

/* " eth0: 1 2 3 …": false for a heading, and for what no pod talks through. */
static bool parse_interface(const char *line, struct stats_interface *ret)
{
        const char *colon = strchr(line, ':');
        _cleanup_strv_ char **columns = NULL;
        size_t n;

        line += strspn(line, " ");
        n = colon ? (size_t)(colon - line) : 0;
        if (n == 0 || n >= sizeof ret->name || strv_split(colon + 1, " ", &columns) < 0 ||
            strv_len(columns) < COLUMNS_MIN)
                return false;
        memcpy(ret->name, line, n);
        ret->name[n] = '\0';
        return is_printable(ret->name) && !streq(ret->name, "lo") &&
               !startswith(ret->name, "veth") &&
               text_to_u64(columns[COLUMN_RX_BYTES], &ret->rx_bytes) == 0 &&
               text_to_u64(columns[COLUMN_RX_PACKETS], &ret->rx_packets) == 0 &&
               text_to_u64(columns[COLUMN_RX_ERRORS], &ret->rx_errors) == 0 &&
               text_to_u64(columns[COLUMN_RX_DROPPED], &ret->rx_dropped) == 0 &&
               text_to_u64(columns[COLUMN_TX_BYTES], &ret->tx_bytes) == 0 &&
               text_to_u64(columns[COLUMN_TX_PACKETS], &ret->tx_packets) == 0 &&
               text_to_u64(columns[COLUMN_TX_ERRORS], &ret->tx_errors) == 0 &&
               text_to_u64(columns[COLUMN_TX_DROPPED], &ret->tx_dropped) == 0;
}

int stats_network_parse(const char *text, struct stats_network *ret)
{
        _cleanup_strv_ char **lines = NULL;
        struct stats_interface *list;
        size_t n = 0;

        if (strv_split(text, "\n", &lines) < 0)
                return -ENOMEM;
        list = calloc(MIN(strv_len(lines), (size_t)INTERFACES_MAX) + 1, sizeof *list);
        if (!list)
                return -ENOMEM;
        for (char **line = lines; line && *line && n < INTERFACES_MAX; line++)
                n += parse_interface(*line, &list[n]);
        ret->list = list;
        ret->n = n;
        return 0;
}

void stats_snapshot_done(struct stats_snapshot *s)
{
        for (size_t i = 0; i < s->n_pods; i++) {
                free(s->pods[i].containers);
                free(s->pods[i].volumes);
                free(s->pods[i].network.list);
        }
        free(s->pods);
        free(s->network.list);
        *s = (struct stats_snapshot){ 0 };
}
