/* One sandbox, its containers' lives and ends, their logs, and skiffd's comings and goings. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/check.h"
#include "tests/kernel/shim-rig.h"

static struct rig_outcome o;
static const struct rig_sandbox plain = { 0 };

static const char *const *sh(const char *script)
{
        static const char *argv[8][4];
        static unsigned at;
        const char **v = argv[at++ % 8];

        v[0] = "sh";
        v[1] = "-c";
        v[2] = script;
        v[3] = NULL;
        return v;
}

TEST(a_container_runs_and_its_exit_code_and_output_come_back)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = sh("echo out; echo err >&2; exit 7") }, &o);
        CHECK_STR(o.text, "");
        CHECK_INT(o.r, 0);
        CHECK_INT(o.exit_code, 7);
        CHECK_STR(o.out, "out\n");
        CHECK_STR(o.err, "err\n");
        rig_down();
}
