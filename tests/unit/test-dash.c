/* The screen of `skiff dash`, as letters. */
#include <stdlib.h>
#include <string.h>

#include "cli/dash-model.h"
#include "tests/check.h"

#define NOW (1767323045 * USEC_PER_SEC)

static json_t *parse(const char *text)
{
        json_t *o = json_loads(text, 0, NULL);

        CHECK(o);
        return o;
}

static void look(struct dash_model *m, const char *cpu)
{
        json_auto_t *pods = parse(
                "{\"items\":[{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":"
                "{\"containers\":[{\"name\":\"main\",\"resources\":{\"limits\":{\"cpu\":\"100m\","
                "\"memory\":\"64Mi\"}}},{\"name\":\"side\"}]},\"status\":{\"phase\":\"Running\","
                "\"containerStatuses\":[{\"name\":\"main\",\"ready\":true,\"restartCount\":2,"
                "\"state\":{\"running\":{}}},{\"name\":\"side\",\"state\":{\"waiting\":{\"reason\":"
                "\"CrashLoopBackOff\"}}}]}},{\"metadata\":{\"namespace\":\"kube-system\",\"name\":"
                "\"dns\"},\"spec\":{\"containers\":[{\"name\":\"d\"}]},\"status\":{\"phase\":"
                "\"Pending\"}}]}");
        json_auto_t *stats = json_pack("{s:[{s:{s:s, s:s}, s:[{s:s, s:{s:I}, s:{s:I}}]}]}", "pods",
                                       "podRef", "name", "web", "namespace", "default",
                                       "containers", "name", "main", "cpu", "usageNanoCores",
                                       (json_int_t)atoll(cpu) * 1000000, "memory",
                                       "workingSetBytes", (json_int_t)(32 << 20));
        json_auto_t *events = parse(
                "{\"items\":[{\"type\":\"Normal\",\"reason\":\"Old\",\"message\":\"x\"},{\"type\":"
                "\"Warning\",\"reason\":\"BackOff\",\"involvedObject\":{\"name\":\"web\"},"
                "\"message\":\"again\\u001b[2J\"}]}");
        json_auto_t *node = parse("{\"name\":\"node-1\",\"version\":\"1\",\"apiServer\":\"not "
                                  "reachable\"}");

        CHECK_INT(dash_model_update(m, pods, stats, events, node, NOW), 0);
}

/* Row @n of a screen, without blanks at its end. */
static const char *line(const struct dash_model *m, size_t width, size_t height, size_t n)
{
        static char text[512];
        struct dash_screen s;

        CHECK_INT(dash_layout(m, width, height, false, &s), 0);
        CHECK(n < height && width < sizeof text);
        for (size_t i = 0; i < width; i++)
                text[i] = (char)s.cells[n * width + i].symbol;
        text[width] = '\0';
        for (size_t i = width; i-- > 0 && text[i] == ' ';)
                text[i] = '\0';
        dash_screen_done(&s);
        return text;
}

TEST(a_screen_has_node_rows_events_and_keys)
{
        struct dash_model m = { .node_cpu_milli = 2000, .node_memory = 1 << 30 };

        look(&m, "50");
        CHECK_STR(line(&m, 80, 24, 0), "node-1  skiffd 1  Ready  API server: not reachable");
        CHECK(startswith(line(&m, 80, 24, 1), "NAME "));
        CHECK(strstr(line(&m, 80, 24, 2), "default/web"));
        CHECK(strstr(line(&m, 80, 24, 2), "CrashLoopBackOff  1/2"));
        CHECK(startswith(line(&m, 80, 24, 3), "  main "));
        CHECK(strstr(line(&m, 80, 24, 3), "50m     #####.... 32Mi    #####...."));
        CHECK_STR(line(&m, 80, 24, 17), "EVENTS");
        CHECK(strstr(line(&m, 80, 24, 18), "web: again?[2J")); /* and drives no terminal */
        CHECK(strstr(line(&m, 80, 24, 23), "q quit"));
        dash_model_done(&m);
}

TEST(it_fits_any_screen)
{
        struct dash_model m = { 0 };

        look(&m, "50");
        for (unsigned keys = 0; keys < 2; keys++) {
                for (size_t w = 1; w < 200; w += 3)
                        for (size_t h = 1; h < 40; h++)
                                line(&m, w, h, h - 1);
                dash_model_key(&m, '?');
        }
        dash_model_done(&m);
}

TEST(a_curve_grows_and_stays_with_its_row)
{
        struct dash_model m = { 0 };

        for (unsigned i = 0; i < 2 * DASH_HISTORY; i++)
                look(&m, i % 2 ? "100" : "0");
        CHECK_STR(m.rows[1].key, "default/web/main");
        CHECK_INT(m.rows[1].n_history, DASH_HISTORY);
        CHECK_INT(m.rows[1].history[DASH_HISTORY - 1], 1000);
        CHECK_INT(m.rows[1].history[DASH_HISTORY - 2], 0);
        CHECK(strstr(line(&m, 200, 24, 3), "% % % %"));
        dash_model_done(&m);
}

TEST(keys_move_filter_and_choose)
{
        struct dash_model m = { 0 };

        CHECK_INT(dash_model_key(&m, 'l'), DASH_NOTHING); /* of what? */
        look(&m, "1");
        CHECK_STR(m.selected, "default/web");
        dash_model_key(&m, DASH_KEY_DOWN);
        CHECK_STR(m.selected, "default/web/main");
        CHECK_INT(dash_model_key(&m, 'l'), DASH_LOGS);
        dash_model_key(&m, 'G');
        CHECK_STR(m.selected, "kube-system/dns/d");
        dash_model_key(&m, 'c');
        CHECK_STR(m.selected, "default/web"); /* containers are hidden */
        dash_model_key(&m, 'j');
        CHECK_STR(m.selected, "kube-system/dns");
        dash_model_key(&m, '/');
        for (const char *s = "webq"; *s; s++)
                CHECK_INT(dash_model_key(&m, (uint32_t)*s), DASH_NOTHING);
        CHECK(!m.selected);
        CHECK(strstr(line(&m, 80, 24, 2), "nothing that the filter lets through"));
        dash_model_key(&m, DASH_KEY_BACKSPACE);
        dash_model_key(&m, 127);
        CHECK_STR(m.filter, "we");
        dash_model_key(&m, '\r');
        look(&m, "1");
        CHECK_STR(m.selected, "default/web");
        dash_model_key(&m, 27);
        CHECK_STR(m.filter, "");
        dash_model_key(&m, 'h');
        CHECK(strstr(line(&m, 80, 24, 3), "logs"));
        CHECK_INT(dash_model_key(&m, 'x'), DASH_NOTHING);
        CHECK_INT(dash_model_key(&m, 'q'), DASH_QUIT);
        dash_model_done(&m);
}

TEST(trouble_is_said_and_what_was_known_stays)
{
        struct dash_model m = { 0 };

        look(&m, "1");
        dash_model_trouble(&m, "cannot reach skiffd; trying again");
        CHECK_STR(line(&m, 80, 24, 0), "cannot reach skiffd; trying again");
        CHECK(strstr(line(&m, 80, 24, 2), "default/web"));
        dash_model_trouble(&m, NULL);
        CHECK(startswith(line(&m, 80, 24, 0), "node-1"));
        dash_model_done(&m);
}
